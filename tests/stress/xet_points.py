"""Runs one operation of the chunk store again and again, killed at each of its steps in turn.

A program of its own, as it forks: `python -m stress.xet_points FOLDER OPERATION` prints how many
steps there were, and fails where what is left after one of them is wrong. A step is a statement or
commit of the database, or a file below the home folder opened, renamed or removed.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event, select, update

from features.storage.xet.conftest import Made, make_file
from kit.people import add_people
from llmos.app.schema import ensure_schema
from llmos.core import clock
from llmos.features.auth.credentials import actor_for_token
from llmos.features.buckets.references import collect_unclaimed, referenced_files
from llmos.features.repos.lifecycle import create_repo
from llmos.features.repos.models import Repo, RepoLfsClaim
from llmos.features.repos.xet_claims import claim_files
from llmos.features.storage.xet.gc import collect_xet, plan_xet_gc
from llmos.features.storage.xet.grants import commit_grant
from llmos.features.storage.xet.models import XetFile, XetXorb
from llmos.features.storage.xet.reading import stream_file
from llmos.features.storage.xet.shards import register_shard
from llmos.features.storage.xet.xorbs import XorbUpload
from llmos.infra.runtime import Runtime, open_runtime
from llmos.infra.settings import Settings
from xet_contract.test_crash import check_store

MAX_STEPS = 500
SCOPE_ID = 1
GRANT_ID = "a" * 32
KEPT, MADE = make_file(1), make_file(2)


@dataclass(frozen=True)
class Operation:
    """`prepare` lays the ground, `run` is killed, then repeated; `check` looks at the end."""

    prepare: Callable[[Runtime], None]
    run: Callable[[Runtime], object]
    check: Callable[[Runtime], None]


def upload(rt: Runtime, made: Made = MADE) -> None:
    with XorbUpload(rt, made.xorb_hash, SCOPE_ID) as up:
        up.feed(made.xorb)
        up.finish()


def register(rt: Runtime, made: Made = MADE) -> None:
    with rt.database.reading() as db:
        repo_id = db.scalars(select(Repo.id)).one()
    claim_files(rt, repo_id, register_shard(rt, made.shard(), SCOPE_ID))


def put_incoming(rt: Runtime) -> None:
    rt.objects.put_bytes(f"incoming/{MADE.xorb_hash}.{SCOPE_ID}.{GRANT_ID}", MADE.xorb)


def commit(rt: Runtime) -> None:
    with rt.database.reading() as db:
        is_done = db.get(XetXorb, MADE.xorb_hash) is not None
    if not is_done:
        commit_grant(rt, MADE.xorb_hash, SCOPE_ID, GRANT_ID)


def doom(rt: Runtime) -> None:
    """A file that nobody uses any more, its xorb marked long ago."""
    upload(rt)
    register_shard(rt, MADE.shard(), SCOPE_ID)
    old = clock.now() - timedelta(days=1000)
    with rt.database.writing() as db:
        db.execute(update(XetXorb).values(touched_at=old))
        db.execute(update(XetXorb).where(XetXorb.xorb_hash == MADE.xorb_hash).values(doomed_at=old))
        db.execute(update(XetFile).values(touched_at=old))


def is_stored(rt: Runtime) -> None:
    with rt.database.reading() as db:
        assert db.get(XetXorb, MADE.xorb_hash) is not None
    assert len(list(rt.objects.list("xorbs"))) == 2


def is_readable(rt: Runtime) -> None:
    assert b"".join(stream_file(rt, MADE.file_hash)) == MADE.data
    with rt.database.reading() as db:
        assert db.scalars(select(RepoLfsClaim).where(RepoLfsClaim.oid == MADE.file.sha256)).one()


def is_gone(rt: Runtime) -> None:
    with rt.database.reading() as db:
        assert db.get(XetXorb, MADE.xorb_hash) is None
        assert db.get(XetFile, MADE.file_hash) is None
    for meta in rt.objects.list("xorbs"):  # a crash between row and bytes leaves a stray
        path = rt.objects.local_path(meta.key)
        assert path is not None
        os.utime(path, (0, 0))
    collect_xet(rt, plan_xet_gc(rt, referenced_files), referenced_files)
    assert [KEPT.xorb_hash in meta.key for meta in rt.objects.list("xorbs")] == [True]


OPERATIONS = {
    "upload": Operation(lambda rt: None, upload, is_stored),
    "shard": Operation(upload, register, is_readable),
    "grant": Operation(put_incoming, commit, is_stored),
    "collect": Operation(doom, collect_unclaimed, is_gone),
}


def build(home: Path, operation: Operation) -> None:
    rt = open_runtime(Settings(home=home))
    ensure_schema(rt)
    tokens = add_people(rt)
    with rt.database.writing() as db:
        create_repo(db, actor_for_token(db, tokens["ada"]), rt, name="ada/tiny-llm")
    upload(rt, KEPT)
    register(rt, KEPT)
    operation.prepare(rt)
    rt.close()


def run_until(home: Path, operation: Operation, step: int) -> None:
    """In a child: end by SIGKILL just before the given step, or normally if there are fewer."""
    rt = open_runtime(Settings(home=home))
    left = step

    def pass_step() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(name: str, arguments: tuple[Any, ...]) -> None:
        if name in ("open", "os.rename", "os.remove") and str(arguments[0]).startswith(str(home)):
            pass_step()

    event.listen(Engine, "before_cursor_execute", lambda *_: pass_step())
    event.listen(Engine, "commit", lambda _: pass_step())
    sys.addaudithook(audit)
    operation.run(rt)
    os._exit(0)


def check(home: Path, operation: Operation) -> None:
    """Nothing is wrong after the kill, what was there is there, and to do it again succeeds."""
    check_store(home)
    rt = open_runtime(Settings(home=home))
    try:
        with rt.database.reading() as db:
            claimed = set(db.scalars(select(RepoLfsClaim.xet_hash)))
            assert claimed <= set(db.scalars(select(XetFile.file_hash)))
        assert b"".join(stream_file(rt, KEPT.file_hash)) == KEPT.data
        operation.run(rt)
        operation.check(rt)
        assert b"".join(stream_file(rt, KEPT.file_hash)) == KEPT.data
    finally:
        rt.close()
    check_store(home)


def main(folder: Path, operation: Operation) -> int:
    """The number of steps the operation has."""
    template, home = folder / "template", folder / "home"
    build(template, operation)
    for step in range(1, MAX_STEPS):
        shutil.copytree(template, home)
        child = os.fork()
        if not child:
            try:
                run_until(home, operation, step)
            finally:
                os._exit(1)
        status = os.waitpid(child, 0)[1]
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            return step - 1
        assert os.WTERMSIG(status) == signal.SIGKILL
        check(home, operation)
        shutil.rmtree(home)
    raise AssertionError("the operation does not end")


if __name__ == "__main__":
    sys.stdout.write(f"{main(Path(sys.argv[1]), OPERATIONS[sys.argv[2]])}\n")
