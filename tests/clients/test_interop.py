"""What is written in one way is read in every other: each client with and without Xet, git-lfs, plain
HTTP, commits with the bytes inside; with objects in a folder and in a bucket."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from clients.versions import VERSIONS, client_python
from kit.databases import Databases
from kit.people import add_people
from kit.programs import client_env, run, run_python
from kit.server import LiveServer, free_port, live_server
from llmos.app.schema import ensure_schema
from llmos.features.storage.xet.convert_state import remove_retired
from llmos.infra.runtime import open_runtime
from llmos.infra.settings import Settings
from s3.conftest import instance_on, s3_server
from xet_contract.conftest import sample
from xet_contract.test_conversion import NOW, convert, opened

KIB, MIB = 1024, 1024 * 1024
# Above this an LFS upload is sent in parts, so one shape takes that way.
PARTS_ABOVE = "6000000"

_WRITE = """
import sys
from huggingface_hub import HfApi
repo, folder = sys.argv[1:]
HfApi().create_repo(repo, private=True)
HfApi().upload_folder(repo_id=repo, folder_path=folder)
"""
_READ = """
import hashlib, json, sys
from pathlib import Path
from huggingface_hub import snapshot_download
found = {}
for repo in sys.argv[1:]:
    folder = Path(snapshot_download(repo))
    found[repo] = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob("*.bin")}
print(json.dumps(found))
"""
_WAYS = """
import json, sys
from huggingface_hub import HfApi
found = {}
for repo in sys.argv[1:]:
    for entry in HfApi().list_repo_tree(repo):
        if entry.path.endswith(".bin") and entry.size:
            way = "xet" if entry.xet_hash else "lfs" if entry.lfs else "git"
            found.setdefault(repo.partition("by-")[2], set()).add(way)
print(json.dumps({name: sorted(ways) for name, ways in found.items()}))
"""

pytestmark = pytest.mark.clients


def shapes(seed: int) -> dict[str, bytes]:
    """Files that meet the chunker in different moods; `same.bin` is the same for every writer."""
    noise = sample("noise", 3 * MIB, seed)
    return {
        "noise.bin": noise,
        "zeros.bin": noise[:MIB] + bytes(2 * MIB) + noise[MIB : 2 * MIB],
        "bf16.bin": sample("bf16", 7 * MIB + 3, seed),
        "even.bin": noise[-16 * 64 * KIB :],
        "over.bin": noise[-16 * 64 * KIB - 1 :],
        "empty.bin": b"",
        "same.bin": sample("bf16", 2 * MIB, 7),
    }


@dataclass
class Place:
    """A server, a folder for its clients, and what has been written there."""

    server: LiveServer
    folder: Path
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    homes: int = 0

    def env(self, **extra: str) -> dict[str, str]:
        self.homes += 1
        home = self.folder / f"home-{self.homes}"
        home.mkdir()
        return client_env(self.server, home, **extra)

    @property
    def expected(self) -> dict[str, dict[str, str]]:
        return {
            repo: {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
            for repo, files in self.files.items()
        }


PLAIN = {"HF_HUB_DISABLE_XET": "1"}


def write_by_client(place: Place, repo: str, folder: Path, version: str, **extra: str) -> None:
    run([client_python(version), "-c", _WRITE, repo, str(folder)], place.env(**extra))


def git_env(place: Place) -> tuple[dict[str, str], str]:
    env = place.env(GIT_AUTHOR_NAME="Ada", GIT_COMMITTER_NAME="Ada")
    env |= {"GIT_AUTHOR_EMAIL": "ada@example.org", "GIT_COMMITTER_EMAIL": "ada@example.org"}
    run(["git", "lfs", "install", "--skip-repo"], env, place.folder)
    return env, place.server.url.replace("://", f"://ada:{place.server.tokens['ada']}@")


def write_by_git(place: Place, repo: str, folder: Path) -> None:
    create(place, repo)
    env, url = git_env(place)
    work = place.folder / "pushed"
    run(["git", "clone", "-q", f"{url}/{repo}", str(work)], env)
    for path in folder.iterdir():
        (work / path.name).write_bytes(path.read_bytes())
    for command in (["lfs", "track", "*.bin"], ["add", "."], ["commit", "-qm", "All"], ["push", "-q"]):
        run(["git", *command], env, work)


def write_inline(place: Place, repo: str, folder: Path) -> None:
    """Files in the body of the commit itself; they become plain git blobs."""
    create(place, repo)
    lines = [{"key": "header", "value": {"summary": "All"}}]
    for path in folder.iterdir():
        content = base64.b64encode(path.read_bytes()).decode()
        lines.append({"key": "file", "value": {"path": path.name, "content": content, "encoding": "base64"}})
    post(place, f"/api/models/{repo}/commit/main", "\n".join(map(json.dumps, lines)).encode())


def create(place: Place, repo: str) -> None:
    body = {"name": repo.split("/")[1], "private": True}
    post(place, "/api/repos/create", json.dumps(body).encode(), "application/json")


def post(place: Place, path: str, body: bytes, kind: str = "application/x-ndjson") -> None:
    headers = {"Authorization": f"Bearer {place.server.tokens['ada']}", "Content-Type": kind}
    answer = httpx.post(place.server.url + path, content=body, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text


WRITERS: dict[str, Callable[[Place, str, Path], None]] = {
    **{
        f"xet-{version}": lambda place, repo, folder, version=version: write_by_client(
            place, repo, folder, version
        )
        for version in VERSIONS
    },
    "lfs-2.4": lambda place, repo, folder: write_by_client(place, repo, folder, "2.4", **PLAIN),
    "lfs-0.36": lambda place, repo, folder: write_by_client(place, repo, folder, "0.36", **PLAIN),
    "git-lfs": write_by_git,
    "inline": write_inline,
}


def read_by_client(place: Place, version: str, **extra: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = run_python(
        _READ, place.env(**extra), *place.files, python=client_python(version)
    )
    return found


def read_by_git(place: Place) -> dict[str, dict[str, str]]:
    env, url = git_env(place)
    found = {}
    for repo in place.files:
        work = place.folder / f"cloned-{place.homes}-{repo.split('/')[1]}"
        run(["git", "clone", "-q", f"{url}/{repo}", str(work)], env)
        found[repo] = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in work.glob("*.bin")
        }
    return found


def read_plainly(place: Place) -> dict[str, dict[str, str]]:
    """Whole, and in ranges that meet no border of chunks; the whole put together from what came."""
    found: dict[str, dict[str, str]] = {}
    headers = {"Authorization": f"Bearer {place.server.tokens['ada']}"}
    with httpx.Client(base_url=place.server.url, headers=headers, timeout=60) as http:
        for repo, files in place.files.items():
            found[repo] = {}
            for name, data in files.items():
                url = f"/{repo}/resolve/main/{name}"
                body = http.get(url).content
                found[repo][name] = hashlib.sha256(body).hexdigest()
                for start in (0, 65_535, 1_000_003) if data else ():
                    span = data[start : start + 300_001]
                    part = http.get(url, headers={"Range": f"bytes={start}-{start + 300_000}"})
                    assert (part.status_code, part.content) == (206 if span else 416, span or part.content)
    return found


READERS: dict[str, Callable[[Place], dict[str, dict[str, str]]]] = {
    **{
        f"xet-{version}": lambda place, version=version: read_by_client(place, version)
        for version in VERSIONS
    },
    "lfs-2.4": lambda place: read_by_client(place, "2.4", **PLAIN),
    "lfs-0.36": lambda place: read_by_client(place, "0.36", **PLAIN),
    "git-lfs": read_by_git,
    "http": read_plainly,
}


@pytest.fixture(scope="module", params=["folder", "s3"])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, _databases: Databases
) -> Iterator[Place]:
    """A server of its own, with every writer's files in it."""
    root = tmp_path_factory.mktemp(f"interop-{request.param}")
    extra = {"lfs_multipart_above_bytes": PARTS_ABOVE} | _databases.fill(root / "home")
    if request.param == "s3":
        with (
            s3_server(root / "log", free_port()) as s3,
            instance_on(s3, root / "home", "x", **extra) as server,
        ):
            yield _filled(Place(server, root))
        return
    rt = open_runtime(Settings(home=root / "home", **extra))
    ensure_schema(rt)
    tokens = add_people(rt)
    rt.close()
    with live_server(root / "home", **extra) as server:
        server.tokens.update(tokens)
        yield _filled(Place(server, root))


def _filled(place: Place) -> Place:
    for seed, (name, write) in enumerate(WRITERS.items()):
        folder = place.folder / f"by-{name}"
        folder.mkdir()
        files = shapes(seed)
        for file_name, data in files.items():
            (folder / file_name).write_bytes(data)
        repo = f"ada/by-{name}"
        write(place, repo, folder)
        place.files[repo] = files
    return place


@pytest.mark.parametrize("reader", READERS)
def test_everything_is_read(place: Place, reader: str) -> None:
    assert READERS[reader](place) == place.expected


def ways(place: Place) -> dict[str, list[str]]:
    """How each writer's files are stored."""
    found: dict[str, list[str]] = run_python(_WAYS, place.env(), *place.files)
    return found


def test_every_way_was_taken(place: Place) -> None:
    expected = {name: ["xet"] if name.startswith("xet") else ["lfs"] for name in WRITERS}
    assert ways(place) == expected | {"inline": ["git"]}


def test_all_is_read_as_before_once_it_is_chunks(place: Place) -> None:
    convert(place.server, lfs_to_xet_bytes_per_s=0)
    convert(place.server, lfs_to_xet_undo_days=0)
    with opened(place.server) as rt:
        assert remove_retired(rt, after=NOW) > 0
        assert [meta.key for meta in rt.objects.list("lfs") if meta.size_bytes >= MIB] == []
    assert ways(place) == {name: ["git"] if name == "inline" else ["xet"] for name in WRITERS}
    for name in ("xet-2.4", "xet-0.36", "lfs-2.4", "git-lfs", "http"):
        assert READERS[name](place) == place.expected, name
