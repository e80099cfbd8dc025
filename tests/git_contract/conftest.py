"""Real git and git-lfs against the live server, each test with a repository of its own."""

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import select

from kit.server import LiveServer
from llmos.core.ids import new_object_id
from llmos.features.accounts.models import Namespace
from llmos.features.repos.models import Repo
from llmos.features.repos.places import git_path
from llmos.infra.git.repository import init_bare
from llmos.infra.runtime import Runtime, open_runtime
from llmos.infra.settings import Settings


@dataclass
class Git:
    """Runs git as one person in one folder; `token` is sent as the password."""

    server: LiveServer
    folder: Path
    home: Path
    token: str | None = None
    env: dict[str, str] = field(default_factory=dict)

    def run(self, *args: str, ok: bool = True, stdin: bytes | None = None) -> str:
        """What the command printed, stdout and stderr together."""
        keep = {key: os.environ[key] for key in ("PATH",) if key in os.environ}
        env = keep | {
            "HOME": str(self.home),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Ada",
            "GIT_AUTHOR_EMAIL": "ada@example.org",
            "GIT_COMMITTER_NAME": "Ada",
            "GIT_COMMITTER_EMAIL": "ada@example.org",
            **self.env,
        }
        done = subprocess.run(
            ["git", *args],
            cwd=self.folder,
            env=env,
            stdin=subprocess.DEVNULL if stdin is None else None,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
        )
        text = done.stdout.decode("utf-8", "replace")
        assert (done.returncode == 0) is ok, f"git {' '.join(args)} -> {done.returncode}\n{text}"
        return text

    def inside(self, name: str) -> "Git":
        return Git(self.server, self.folder / name, self.home, self.token, self.env)

    def url(self, repo_name: str, prefix: str = "") -> str:
        host = self.server.url.removeprefix("http://")
        who = f"ada:{quote(self.token)}@" if self.token else ""
        return f"http://{who}{host}/{prefix}{repo_name}"

    def commit(self, files: dict[str, bytes], message: str = "Work") -> str:
        for name, data in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        self.run("add", "-A")
        self.run("commit", "-q", "-m", message)
        return self.run("rev-parse", "HEAD").strip()


@pytest.fixture
def live_rt(server: LiveServer) -> Iterator[Runtime]:
    """The live server's data, seen from the test process."""
    url = server.env.get("LLMOS_DATABASE_URL")
    runtime = open_runtime(Settings(home=server.home, **({"database_url": url} if url else {})))
    yield runtime
    runtime.close()


@pytest.fixture
def git_for(server: LiveServer, tmp_path: Path) -> Callable[..., Git]:
    home = tmp_path / "userhome"
    home.mkdir()
    (home / ".gitconfig").write_text("[init]\n\tdefaultBranch = main\n[advice]\n\tdetachedHead = false\n")

    def make(person: str | None = "ada") -> Git:
        folder = tmp_path / f"work-{person or 'anonymous'}"
        folder.mkdir(exist_ok=True)
        return Git(server, folder, home, server.tokens[person] if person else None)

    return make


@pytest.fixture
def ada(git_for: Callable[..., Git]) -> Git:
    return git_for("ada")


MakeRepo = Callable[..., Repo]
_count = iter(range(1_000_000))


@pytest.fixture
def make_repo(live_rt: Runtime) -> MakeRepo:
    """An empty repository; its row, with `repo_name` and `object_id`."""

    def make(
        owner: str = "ada", *, visibility: str = "public", repo_type: str = "model", gated: str = ""
    ) -> Repo:
        name = f"git-{os.getpid()}-{next(_count)}"
        with live_rt.database.writing() as db:
            namespace = db.scalars(select(Namespace).where(Namespace.name_key == owner)).one()
            repo = Repo(
                object_id=new_object_id(),
                type=repo_type,
                namespace_id=namespace.id,
                namespace=namespace,
                name=name,
                name_key=name,
                visibility=visibility,
                gated=gated,
                created_by_id=None,
                tags=[],
            )
            init_bare(git_path(live_rt, repo))
            db.add(repo)
        return repo

    return make


@pytest.fixture
def repo(make_repo: MakeRepo) -> Repo:
    return make_repo()


@pytest.fixture
def clone(ada: Git, repo: Repo) -> Git:
    """Ada's clone of `repo` with one commit on main, pushed."""
    ada.run("clone", "-q", ada.url(repo.repo_name), "clone")
    inside = ada.inside("clone")
    inside.commit({"README.md": b"---\nlicense: mit\n---\n# Tiny\n", "a/b.txt": b"one\n"}, "First")
    inside.run("push", "-q", "origin", "HEAD:main")
    return inside
