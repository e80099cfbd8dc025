"""Move repositories' plain LFS objects to chunks: which are due, the switch, the way back.

Each step is one transaction, so readers have the plain object, then either, then the chunks; their
SHA-256, and with it every etag, stays the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import LlmosError, Unavailable
from llmos.features.repos.models import Repo, RepoLfsClaim
from llmos.features.storage.models import LfsObject
from llmos.features.storage.objects import lock_object
from llmos.features.storage.xet.convert import (
    CasAddress,
    ConversionFailed,
    can_convert,
    check_bytes,
    convert_object,
    has_disk,
)
from llmos.features.storage.xet.convert_state import (
    drop_plain_row,
    forget_gone,
    list_conversions,
    note,
    remove_retired,
    restore_plain_row,
    waiting_objects,
)
from llmos.features.storage.xet.models import XetConversion, XetFile
from llmos.features.storage.xet.tables import unpack_terms, xorbs_of
from llmos.features.storage.xet.xorbs import keep_xorbs
from llmos.infra.db.engine import Database
from llmos.infra.runtime import Runtime

log = logging.getLogger(__name__)

# A commit, and often a first download, follow an upload at once: they need not share the machine.
SETTLE = timedelta(minutes=1)

ConnectScope = Callable[[int], CasAddress]
"""A way into the chunk store on behalf of a namespace (by its id)."""


@dataclass(frozen=True, slots=True)
class DueObject:
    """`scope_id`: the namespace of the repository that has had the object longest."""

    oid: str
    size_bytes: int
    scope_id: int


@dataclass(frozen=True, slots=True)
class ConversionRun:
    """What one run did: objects by what became of them, and bytes freed."""

    converted: list[str]
    failed: list[str]
    retired: list[str]
    freed_bytes: int


def next_due(db: Session, rt: Runtime, *, settle: timedelta = SETTLE) -> DueObject | None:
    """The object to convert next, oldest first; None if there is none. Reads only."""
    first_claim = (
        select(Repo.namespace_id)
        .join(RepoLfsClaim, RepoLfsClaim.repo_id == Repo.id)
        .where(RepoLfsClaim.oid == LfsObject.oid)
        .order_by(RepoLfsClaim.created_at)
        .limit(1)
        .scalar_subquery()
    )
    statement = (
        select(LfsObject.oid, LfsObject.size_bytes, first_claim)
        .outerjoin(XetConversion, XetConversion.oid == LfsObject.oid)
        .where(*waiting_objects(rt.settings, clock.now() - settle), first_claim.is_not(None))
        .order_by(LfsObject.created_at, LfsObject.oid)
        .limit(1)
    )
    row = db.execute(statement).first()
    return None if row is None else DueObject(*row)


def count_due(db: Session, rt: Runtime) -> tuple[int, int]:
    """(objects, bytes) that wait for their conversion."""
    statement = (
        select(func.count(), func.coalesce(func.sum(LfsObject.size_bytes), 0))
        .select_from(LfsObject)
        .outerjoin(XetConversion, XetConversion.oid == LfsObject.oid)
        .where(
            *waiting_objects(rt.settings, clock.now()),
            select(RepoLfsClaim.oid).where(RepoLfsClaim.oid == LfsObject.oid).exists(),
        )
    )
    count, size_bytes = db.execute(statement).one()
    return int(count), int(size_bytes)


def has_work(rt: Runtime) -> bool:
    """Whether a run would find anything to do; a few short queries."""
    now = clock.now()
    with rt.database.reading() as db:
        if can_convert(rt) is None and next_due(db, rt) is not None:
            return True
        undo = timedelta(days=rt.settings.lfs_to_xet_undo_days)
        retirable = list_conversions(db, ["converted"], now - undo)
        return bool(retirable or list_conversions(db, ["retired"], now - timedelta(days=1)))


def run_conversions(rt: Runtime, connect: ConnectScope, *, settle: timedelta = SETTLE) -> ConversionRun:
    """Convert everything that is due, one object after the other, and end what was converted long ago.

    One run at a time. Takes hours where much is to be done; safe to be killed at any point.
    """
    forget_gone(rt)
    retired = retire_due(rt)
    freed_bytes = remove_retired(rt)
    converted: list[str] = []
    failed: list[str] = []
    while can_convert(rt) is None:
        with rt.database.reading() as db:
            due = next_due(db, rt, settle=settle)
        if due is None:
            break
        if not has_disk(rt, due.size_bytes):
            log.warning("conversion waits: object %s would leave too little room on the disk", due.oid)
            break
        (converted if _convert(rt, due, connect) else failed).append(due.oid)
    return ConversionRun(converted, failed, retired, freed_bytes)


def _convert(rt: Runtime, due: DueObject, connect: ConnectScope) -> bool:
    try:
        file_hash = convert_object(rt, due.oid, lambda: connect(due.scope_id))
        _switch(rt.database, due, file_hash)
    except LlmosError as error:
        log.error("object %s was not converted: %s", due.oid, error.message)
        with rt.database.writing() as db:
            lock_object(db, due.oid)
            note(db, due.oid, "failed", due.size_bytes, message=str(error.message))
        return False
    log.info("object %s (%d bytes) is served as Xet file %s now, too", due.oid, due.size_bytes, file_hash)
    return True


def _switch(database: Database, due: DueObject, file_hash: str) -> None:
    """From here on every repository that has proved the plain bytes offers the chunks, too."""
    with database.writing() as db:
        lock_object(db, due.oid)
        if db.get(LfsObject, due.oid) is None:
            raise ConversionFailed("The object went away while it was converted.")
        keep_file(db, due.oid, file_hash)
        _point_claims(db, due.oid, file_hash)
        note(db, due.oid, "converted", due.size_bytes, file_hash=file_hash)


def keep_file(db: Session, oid: str, file_hash: str) -> None:
    """Keep the Xet file with this SHA-256 from being collected; Unavailable where it just was."""
    kept = update(XetFile).where(XetFile.file_hash == file_hash, XetFile.sha256 == oid)
    terms = db.scalar(kept.values(touched_at=clock.now()).returning(XetFile.terms))
    # A file without a user may be kept, and its xorbs marked to go: a plan made before knows no better.
    if terms is None or not keep_xorbs(db, xorbs_of(unpack_terms(terms))):
        raise Unavailable("The chunks were being cleaned up at this moment.")


def _point_claims(db: Session, oid: str, file_hash: str) -> None:
    statement = update(RepoLfsClaim).where(RepoLfsClaim.oid == oid, RepoLfsClaim.xet_hash.is_(None))
    db.execute(statement.values(xet_hash=file_hash))


def retire_due(rt: Runtime) -> list[str]:
    """Retire plain objects converted more than `lfs_to_xet_undo_days` ago, each after its chunks
    were read and hashed once more."""
    cutoff = clock.now() - timedelta(days=rt.settings.lfs_to_xet_undo_days)
    with rt.database.reading() as db:
        due = [(row.oid, row.file_hash or "") for row in list_conversions(db, ["converted"], cutoff)]
    return [oid for oid, file_hash in due if _retire(rt, oid, file_hash)]


def _retire(rt: Runtime, oid: str, file_hash: str) -> bool:
    try:
        check_bytes(rt, file_hash, oid)
        with rt.database.writing() as db:
            lock_object(db, oid)
            row = db.get(XetConversion, oid)
            if row is None or row.state != "converted" or row.file_hash != file_hash:
                return False
            keep_file(db, oid, file_hash)
            # Also those made since the switch.
            _point_claims(db, oid, file_hash)
            drop_plain_row(db, row)
    except LlmosError as error:
        log.error("object %s stays, its chunks are not fit: %s", oid, error.message)
        undo_conversion(rt, oid, state="failed", message=str(error.message))
        return False
    return True


def undo_conversion(rt: Runtime, oid: str, *, state: str = "kept", message: str = "") -> bool:
    """Serve the object plainly again and do not convert it any more; False where its bytes are gone.

    Repositories that have had these chunks from a Xet upload then offer only the plain object, too.
    """
    with rt.database.writing() as db:
        lock_object(db, oid)
        row = db.get(XetConversion, oid)
        if row is None or row.state == "kept":
            return row is not None
        if not restore_plain_row(db, rt, row):
            return False
        if row.file_hash is not None:
            held = update(RepoLfsClaim).where(RepoLfsClaim.oid == oid, RepoLfsClaim.xet_hash == row.file_hash)
            db.execute(held.values(xet_hash=None))
        note(db, oid, state, row.size_bytes, message=message)
    return True
