"""A backup made while people write, restored elsewhere: whole, readable, and never older than promised."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from faults.live import Visitor
from kit.people import add_people
from kit.programs import run
from kit.server import LiveServer, live_server
from llmos.app.backup import backup, restore
from llmos.app.schema import ensure_schema
from llmos.features.repos.push import reconcile
from llmos.features.repos.repair import find_problems
from llmos.infra.runtime import Runtime, open_runtime
from llmos.infra.settings import Settings

pytestmark = pytest.mark.skipif(
    bool(os.environ.get("LLMOS_TEST_DATABASE_URL")), reason="a restore brings its own SQLite database"
)


def quiet(_step: str) -> None:
    pass


def cli(home: Path, *arguments: str) -> None:
    env = {key: value for key, value in os.environ.items() if not key.startswith("LLMOS_")}
    run([sys.executable, "-m", "llmos.cli", *arguments], env | {"LLMOS_HOME": str(home)})


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (folder, arguments, done.stderr)
    return done.stdout


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def tokens(home: Path) -> dict[str, str]:
    runtime = open_runtime(Settings(home=home))
    ensure_schema(runtime)
    tokens = add_people(runtime)
    runtime.close()
    return tokens


class Writer:
    """Commits, uploads, branches and packs until told to stop; remembers what was acknowledged."""

    def __init__(self, visitor: Visitor, repo: str, git_folder: Path) -> None:
        self.visitor, self.repo, self.git_folder = visitor, repo, git_folder
        self.commits: list[str] = []
        self.uploads: list[tuple[str, bytes]] = []
        self.failure: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            number = 0
            while not self._stop.is_set():
                number += 1
                self._write(number)
        except BaseException as error:
            self.failure = error

    def _write(self, number: int) -> None:
        visitor, repo = self.visitor, self.repo
        answer = visitor.commit(repo, {f"{number}/{part}.txt": f"{number} {part}" for part in range(5)})
        self.commits.append(answer.raise_for_status().json()["commitOid"])
        if number % 3 == 0:
            data = os.urandom(50_000)
            httpx.put(visitor.upload_href(repo, data), content=data).raise_for_status()
            self.uploads.append((hashlib.sha256(data).hexdigest(), data))
            branch = f"/api/models/{repo}/branch/b{number}"
            visitor.http.post(branch, json={}).raise_for_status()
        if number % 5 == 0:
            git(self.git_folder, "gc", "-q", "--prune=now")

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(60)
        if self.failure is not None:
            raise self.failure


def test_a_backup_while_people_write(home: Path, tokens: dict[str, str], tmp_path: Path) -> None:
    target, fresh = tmp_path / "backup", tmp_path / "fresh"
    with live_server(home) as server:
        server.tokens.update(tokens)
        ada = Visitor(server)
        repo = ada.create("busy")
        [folder] = (home / "git").glob("*/*.git")
        writer = Writer(ada, repo, folder)
        try:
            for _ in range(3):  # the later ones only add to the first
                before, stored = len(writer.commits), len(writer.uploads)
                cli(home, "backup", str(target))
        finally:
            writer.stop()
            ada.http.close()
        assert len(writer.commits) > before
    cli(fresh, "restore", str(target))
    rt = open_runtime(Settings(home=fresh))
    reconcile(rt)
    with live_server(fresh) as server:
        server.tokens.update(tokens)
        check_restored(server, repo, writer, before, stored)
    for path in (fresh / "git").glob("*/*.git"):
        git(path, "fsck", "--full", "--strict")
    assert not [problem for problem in find_problems(rt, repair=True) if not problem.mended]
    rt.close()


def check_restored(server: LiveServer, repo: str, writer: Writer, before: int, stored: int) -> None:
    """Everything acknowledged before the last backup began is there and can be read."""
    ada = Visitor(server)
    history = ada.http.get(f"/api/models/{repo}/commits/main?limit=1000").json()
    known = {item["id"] for item in history}
    assert set(writer.commits[:before]) <= known
    assert ada.head(repo) == history[0]["id"]
    for path in sorted(ada.files(repo)):
        assert ada.http.get(f"/{repo}/resolve/main/{path}").status_code == 200
    for _oid, data in writer.uploads[:stored]:
        assert ada.has_object(repo, data)
    assert ada.commit(repo, {"after.txt": "x"}).status_code == 200
    ada.http.close()


@pytest.fixture
def quiet_instance(home: Path, tokens: dict[str, str]) -> tuple[Path, Path]:
    """The home and git folder of an instance at rest, with one repository."""
    with live_server(home) as server:
        server.tokens.update(tokens)
        ada = Visitor(server)
        repo = ada.create("calm")
        ada.commit(repo, {"a.txt": "1"}).raise_for_status()
        ada.http.post(f"/api/models/{repo}/branch/old", json={}).raise_for_status()
        ada.commit(repo, {"a.txt": "2"}).raise_for_status()
        ada.http.close()
    [folder] = (home / "git").glob("*/*.git")
    return home, folder


def restored(source: Path, target: Path) -> Path:
    restore(Settings(home=target), source, quiet)
    [folder] = (target / "git").glob("*/*.git")
    return folder


def opened(home: Path) -> Runtime:
    return open_runtime(Settings(home=home))


def test_a_second_backup_forgets_what_is_gone(quiet_instance: tuple[Path, Path], tmp_path: Path) -> None:
    home, folder = quiet_instance
    rt = opened(home)
    backup(rt, tmp_path / "backup", quiet)
    newer = git(folder, "commit-tree", "-p", "main", "-m", "newer", "main^{tree}").strip()
    git(folder, "update-ref", "refs/heads/main", newer)
    git(folder, "update-ref", "-d", "refs/heads/old")
    git(folder, "pack-refs", "--all", "--prune")
    backup(rt, tmp_path / "backup", quiet)
    rt.close()
    copy = restored(tmp_path / "backup", tmp_path / "fresh")
    assert git(copy, "for-each-ref") == git(folder, "for-each-ref")


def test_a_ref_that_moved_within_a_second_is_copied(
    quiet_instance: tuple[Path, Path], tmp_path: Path
) -> None:
    home, folder = quiet_instance
    rt = opened(home)
    ref = folder / "refs" / "heads" / "main"
    os.utime(ref, ns=(10**18, 10**18))
    backup(rt, tmp_path / "backup", quiet)
    git(folder, "update-ref", "refs/heads/main", git(folder, "rev-parse", "main~1").strip())
    os.utime(ref, ns=(10**18 + 10**8, 10**18 + 10**8))
    backup(rt, tmp_path / "backup", quiet)
    rt.close()
    copy = restored(tmp_path / "backup", tmp_path / "fresh")
    assert git(copy, "rev-parse", "main") == git(folder, "rev-parse", "main")


def test_locks_are_left_out_and_secrets_stay_secret(
    quiet_instance: tuple[Path, Path], tmp_path: Path
) -> None:
    home, folder = quiet_instance
    (folder / "refs" / "heads" / "main.lock").touch()
    rt = opened(home)
    backup(rt, tmp_path / "backup", quiet)
    rt.close()
    copy = restored(tmp_path / "backup", tmp_path / "fresh")
    assert not list(copy.rglob("*.lock"))
    for path in (home / "secrets", *(home / "secrets").rglob("*")):
        again = tmp_path / "fresh" / path.relative_to(home)
        assert again.stat().st_mode == path.stat().st_mode, again


def test_objects_go_where_the_new_instance_keeps_them(
    quiet_instance: tuple[Path, Path], tmp_path: Path
) -> None:
    home, _ = quiet_instance
    rt = opened(home)
    rt.objects.put_bytes("lfs/aa/bb/some", b"bytes")
    backup(rt, tmp_path / "backup", quiet)
    rt.close()
    elsewhere = Settings(home=tmp_path / "fresh", storage_url=str(tmp_path / "elsewhere"))
    restore(elsewhere, tmp_path / "backup", quiet)
    fresh = open_runtime(elsewhere)
    assert fresh.objects.read("lfs/aa/bb/some") == b"bytes"
    fresh.close()
