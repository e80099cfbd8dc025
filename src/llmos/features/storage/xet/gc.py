"""Remove xorbs and files that nobody uses any more: marked in one run, removed in a later one.

Clients remember for 21 days which chunks lie in which xorb and then name it without asking, so
nothing is marked before `gc_grace_days` have passed since it was last uploaded or told of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, delete, select, update
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.features.storage.xet.models import XetFile, XetXorb
from llmos.features.storage.xet.tables import unpack_terms, xorbs_of
from llmos.features.storage.xet.xorbs import key_of, lock_xorb
from llmos.infra.runtime import Runtime

FileReferences = Callable[[Session, Sequence[str]], set[str]]
"""Which of these files (by Xet hash) somebody still uses; told by the features above."""

DOOM_DELAY = timedelta(days=1)
STRAY_AGE = timedelta(days=1)
_PAGE = 500


@dataclass(frozen=True, slots=True)
class XetGcPlan:
    """What `collect_xet` would do now.

    `files`: records without a user, to be forgotten. `marked`: xorbs that no file needs, to be
    marked for removal. `removed`: xorbs marked long enough ago. `stray_keys`: objects without a row.
    """

    files: list[str]
    marked: list[str]
    removed: list[str]
    stray_keys: list[str]
    size_bytes: int


def plan_xet_gc(rt: Runtime, references: FileReferences, *, find_strays: bool = True) -> XetGcPlan:
    """A dry run: reads only. Leave out strays where nobody looks at the plan: with a wrong or empty
    database, every object would be one."""
    cutoff = clock.now() - timedelta(days=rt.settings.gc_grace_days)
    with rt.database.reading() as db:
        unused, needed = _sort_files(db, references, cutoff)
        marked: list[str] = []
        removed: list[str] = []
        size_bytes = 0
        statement = select(XetXorb.xorb_hash, XetXorb.packed_bytes, XetXorb.doomed_at)
        for name, packed_bytes, doomed_at in db.execute(statement.where(XetXorb.touched_at < cutoff)):
            if name in needed:
                continue
            if doomed_at is None:
                marked.append(name)
            elif doomed_at <= clock.now() - DOOM_DELAY:
                removed.append(name)
                size_bytes += packed_bytes
        strays, stray_bytes = _find_strays(db, rt) if find_strays else ([], 0)
    return XetGcPlan(unused, marked, removed, strays, size_bytes + stray_bytes)


def _sort_files(db: Session, references: FileReferences, cutoff: datetime) -> tuple[list[str], set[str]]:
    """(files without a user since before the marks were due, xorbs that files with a user need)."""
    unused: list[str] = []
    needed: set[str] = set()
    last = ""
    while True:
        statement = select(XetFile).where(XetFile.file_hash > last).order_by(XetFile.file_hash).limit(_PAGE)
        rows = db.scalars(statement).all()
        if not rows:
            return unused, needed
        last = rows[-1].file_hash
        used = references(db, [row.file_hash for row in rows])
        for row in rows:
            if row.file_hash in used or row.touched_at >= cutoff:
                needed.update(xorbs_of(unpack_terms(row.terms)))
            elif row.touched_at < cutoff - DOOM_DELAY:
                # As long as its chunks are only marked, a file can be taken back whole.
                unused.append(row.file_hash)
        db.expunge_all()


def _find_strays(db: Session, rt: Runtime) -> tuple[list[str], int]:
    oldest = clock.now() - STRAY_AGE
    strays: list[str] = []
    size_bytes = 0
    for meta in rt.objects.list("xorbs"):
        if meta.modified_at < oldest and not _has_row(db, meta.key):
            strays.append(meta.key)
            size_bytes += meta.size_bytes
    return strays, size_bytes


def _has_row(db: Session, key: str) -> bool:
    xorb = db.get(XetXorb, key.rsplit("/", 1)[-1].partition(".")[0])
    return xorb is not None and key_of(xorb) == key


def collect_xet(rt: Runtime, plan: XetGcPlan, references: FileReferences) -> int:
    """Carry out a plan, one short transaction per thing; bytes freed.

    Safe beside uploads: each thing is looked at again under its lock, and a xorb that was
    touched since stays. The row goes before the bytes do, so a crash leaves an object without a
    row, which the next run finds, and never a row without its bytes.
    """
    for name in plan.files:
        _forget_file(rt, name, references)
    with rt.database.writing() as db:
        for name in plan.marked:
            statement = update(XetXorb).where(XetXorb.xorb_hash == name, XetXorb.touched_at < _cutoff(rt))
            db.execute(statement.values(doomed_at=clock.now()))
    freed = sum(_remove_xorb(rt, name) for name in plan.removed)
    return freed + sum(_remove_stray(rt, key) for key in plan.stray_keys)


def undo_xet_gc(rt: Runtime) -> tuple[int, int]:
    """Take all marks back, and let the grace of what would be marked or forgotten next start anew;
    (xorbs, files) that stay. What a run has removed is gone: a mark is there a day before that."""
    now, cutoff = clock.now(), _cutoff(rt)
    with rt.database.writing() as db:
        is_old = XetXorb.doomed_at.is_not(None) | (XetXorb.touched_at < cutoff)
        xorbs = update(XetXorb).where(is_old).values(doomed_at=None, touched_at=now)
        files = update(XetFile).where(XetFile.touched_at < cutoff).values(touched_at=now)
        counts = [cast(CursorResult[Any], db.execute(statement)).rowcount for statement in (xorbs, files)]
    return counts[0], counts[1]


def _cutoff(rt: Runtime) -> datetime:
    return clock.now() - timedelta(days=rt.settings.gc_grace_days)


def _forget_file(rt: Runtime, file_hash: str, references: FileReferences) -> None:
    with rt.database.writing() as db:
        row = db.get(XetFile, file_hash)
        cutoff = _cutoff(rt)
        if row is not None and row.touched_at < cutoff - DOOM_DELAY and not references(db, [file_hash]):
            # Asked again: on PostgreSQL somebody may have begun to use it since the row was read.
            is_due = XetFile.touched_at < cutoff - DOOM_DELAY
            db.execute(delete(XetFile).where(XetFile.file_hash == file_hash, is_due))


def _remove_xorb(rt: Runtime, xorb_hash: str) -> int:
    with rt.database.writing() as db:
        lock_xorb(db, xorb_hash)
        row = db.get(XetXorb, xorb_hash)
        if row is None:
            return 0
        key, size_bytes = key_of(row), row.packed_bytes
        # One statement: on PostgreSQL a touch may come between a look and the removal.
        is_due = (XetXorb.doomed_at.is_not(None)) & (XetXorb.touched_at < _cutoff(rt))
        gone = delete(XetXorb).where(XetXorb.xorb_hash == xorb_hash, is_due).returning(XetXorb.xorb_hash)
        if db.execute(gone).first() is None:
            return 0
    return size_bytes if _remove_stray(rt, key) else 0


def _remove_stray(rt: Runtime, key: str) -> int:
    with rt.database.writing() as db:
        lock_xorb(db, key.rsplit("/", 1)[-1].partition(".")[0])
        if _has_row(db, key):
            return 0
        size_bytes = rt.objects.head(key)
        rt.objects.delete(key)
    return size_bytes or 0
