"""A backup made while people write, restored elsewhere: whole, readable, and never older than promised."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from faults.live import Visitor
from kit.databases import Databases
from kit.people import add_people, add_person
from kit.programs import run
from kit.server import LiveServer, live_server
from llmos.app.backup import backup, restore
from llmos.app.dump import check_free, dump_rows, load_rows
from llmos.core.errors import BadRequest
from llmos.features.repos.push import reconcile
from llmos.features.repos.repair import find_problems
from llmos.infra.runtime import open_runtime
from llmos.infra.search.index import search
from llmos.infra.settings import Settings


@dataclass(frozen=True)
class Place:
    """Where an instance lives: its folder, and the database where that is elsewhere."""

    home: Path
    extra: dict[str, str]

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home, **self.extra)

    def cli(self, *arguments: str) -> None:
        env = {key: value for key, value in os.environ.items() if not key.startswith("LLMOS_")}
        ours = {f"LLMOS_{key.upper()}": value for key, value in self.extra.items()}
        run([sys.executable, "-m", "llmos.cli", *arguments], env | ours | {"LLMOS_HOME": str(self.home)})


def quiet(_step: str) -> None:
    pass


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (folder, arguments, done.stderr)
    return done.stdout


@pytest.fixture
def place(tmp_path: Path, _databases: Databases) -> Place:
    return Place(tmp_path / "home", _databases.fill(tmp_path / "home"))


@pytest.fixture
def fresh(tmp_path: Path, _databases: Databases) -> Place:
    """Where nothing is yet."""
    return Place(tmp_path / "fresh", _databases.empty())


@pytest.fixture
def tokens(place: Place) -> dict[str, str]:
    runtime = open_runtime(place.settings)
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


def test_a_backup_while_people_write(
    place: Place, fresh: Place, tokens: dict[str, str], tmp_path: Path
) -> None:
    target = tmp_path / "backup"
    with live_server(place.home, **place.extra) as server:
        server.tokens.update(tokens)
        ada = Visitor(server)
        repo = ada.create("busy")
        [folder] = (place.home / "git").glob("*/*.git")
        writer = Writer(ada, repo, folder)
        try:
            for _ in range(3):  # the later ones only add to the first
                before, stored = len(writer.commits), len(writer.uploads)
                place.cli("backup", str(target))
        finally:
            writer.stop()
            ada.http.close()
        assert len(writer.commits) > before
    fresh.cli("restore", str(target))
    rt = open_runtime(fresh.settings)
    reconcile(rt)
    with live_server(fresh.home, **fresh.extra) as server:
        server.tokens.update(tokens)
        check_restored(server, repo, writer, before, stored)
    for path in (fresh.home / "git").glob("*/*.git"):
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
def at_rest(place: Place, tokens: dict[str, str]) -> tuple[Place, Path]:
    """An instance at rest with one repository, and the git folder of that."""
    with live_server(place.home, **place.extra) as server:
        server.tokens.update(tokens)
        ada = Visitor(server)
        repo = ada.create("calm")
        ada.commit(repo, {"a.txt": "1"}).raise_for_status()
        ada.http.post(f"/api/models/{repo}/branch/old", json={}).raise_for_status()
        ada.commit(repo, {"a.txt": "2"}).raise_for_status()
        ada.http.close()
    [folder] = (place.home / "git").glob("*/*.git")
    return place, folder


def restored(source: Path, target: Place) -> Path:
    restore(target.settings, source, quiet)
    [folder] = (target.home / "git").glob("*/*.git")
    return folder


def test_a_second_backup_forgets_what_is_gone(
    at_rest: tuple[Place, Path], fresh: Place, tmp_path: Path
) -> None:
    place, folder = at_rest
    rt = open_runtime(place.settings)
    backup(rt, tmp_path / "backup", quiet)
    newer = git(folder, "commit-tree", "-p", "main", "-m", "newer", "main^{tree}").strip()
    git(folder, "update-ref", "refs/heads/main", newer)
    git(folder, "update-ref", "-d", "refs/heads/old")
    git(folder, "pack-refs", "--all", "--prune")
    backup(rt, tmp_path / "backup", quiet)
    rt.close()
    copy = restored(tmp_path / "backup", fresh)
    assert git(copy, "for-each-ref") == git(folder, "for-each-ref")


def test_a_ref_that_moved_within_a_second_is_copied(
    at_rest: tuple[Place, Path], fresh: Place, tmp_path: Path
) -> None:
    place, folder = at_rest
    rt = open_runtime(place.settings)
    ref = folder / "refs" / "heads" / "main"
    os.utime(ref, ns=(10**18, 10**18))
    backup(rt, tmp_path / "backup", quiet)
    git(folder, "update-ref", "refs/heads/main", git(folder, "rev-parse", "main~1").strip())
    os.utime(ref, ns=(10**18 + 10**8, 10**18 + 10**8))
    backup(rt, tmp_path / "backup", quiet)
    rt.close()
    copy = restored(tmp_path / "backup", fresh)
    assert git(copy, "rev-parse", "main") == git(folder, "rev-parse", "main")


def test_locks_are_left_out_and_secrets_stay_secret(
    at_rest: tuple[Place, Path], fresh: Place, tmp_path: Path
) -> None:
    place, folder = at_rest
    (folder / "refs" / "heads" / "main.lock").touch()
    rt = open_runtime(place.settings)
    backup(rt, tmp_path / "backup", quiet)
    rt.close()
    copy = restored(tmp_path / "backup", fresh)
    assert not list(copy.rglob("*.lock"))
    for path in (place.home / "secrets", *(place.home / "secrets").rglob("*")):
        again = fresh.home / path.relative_to(place.home)
        assert again.stat().st_mode == path.stat().st_mode, again


def test_objects_go_where_the_new_instance_keeps_them(
    at_rest: tuple[Place, Path], fresh: Place, tmp_path: Path
) -> None:
    place, _ = at_rest
    rt = open_runtime(place.settings)
    rt.objects.put_bytes("lfs/aa/bb/some", b"bytes")
    backup(rt, tmp_path / "backup", quiet)
    rt.close()
    elsewhere = Settings(home=fresh.home, storage_url=str(tmp_path / "elsewhere"), **fresh.extra)
    restore(elsewhere, tmp_path / "backup", quiet)
    again = open_runtime(elsewhere)
    assert again.objects.read("lfs/aa/bb/some") == b"bytes"
    again.close()


def lines_of(path: Path) -> list[bytes]:
    return gzip.decompress(path.read_bytes()).splitlines()


def test_every_row_comes_back_as_it_was(at_rest: tuple[Place, Path], fresh: Place, tmp_path: Path) -> None:
    """There and back; on PostgreSQL by way of SQLite."""
    first, second = tmp_path / "first.gz", tmp_path / "second.gz"
    rt = open_runtime(at_rest[0].settings)
    count = dump_rows(rt.database, first)
    rt.close()
    by_way = Settings(home=tmp_path / "by_way")
    assert move(first, by_way, second) == count
    assert sorted(lines_of(first)) == sorted(lines_of(second))
    assert move(second, fresh.settings, second) == count
    assert sorted(lines_of(first)) == sorted(lines_of(second))
    rt = open_runtime(fresh.settings)
    with rt.database.writing() as db:
        assert [hit.title for hit in search(db, "calm")] == ["ada/calm"]
        add_person(db, "alan")  # gets an id that nobody has
    with pytest.raises(BadRequest, match="--force"):
        check_free(rt.database)
    rt.close()


def move(source: Path, settings: Settings, again: Path) -> int:
    """Fill the database and dump it anew."""
    rt = open_runtime(settings)
    check_free(rt.database)
    load_rows(rt.database, source)
    count = dump_rows(rt.database, again)
    rt.close()
    return count
