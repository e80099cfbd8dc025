"""What is known of each conversion, and the end of plain objects whose readers have moved to chunks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, func, or_, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.features.storage.models import LfsObject
from llmos.features.storage.objects import lock_object, object_key
from llmos.features.storage.xet.models import XetConversion
from llmos.infra.db.upsert import insert_missing, upsert
from llmos.infra.runtime import Runtime
from llmos.infra.settings import Settings

MAX_ATTEMPTS = 5
RETRY_AFTER = timedelta(hours=1)
# Longer than any link straight to the bytes lives, and than any download under way should take.
REMOVE_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class StateSum:
    """Objects in one state and their bytes together."""

    state: str
    object_count: int
    size_bytes: int


def note(
    db: Session, oid: str, state: str, size_bytes: int, *, file_hash: str | None = None, message: str = ""
) -> None:
    """Write down the state an object is in from now on; a failure counts as one more attempt."""
    before = db.get(XetConversion, oid)
    attempts = (before.attempts if before else 0) + 1 if state == "failed" else 0
    row = {
        "oid": oid,
        "state": state,
        "file_hash": file_hash,
        "size_bytes": size_bytes,
        "attempts": attempts,
        "message": message,
        "changed_at": clock.now(),
    }
    upsert(db, XetConversion, [row], keys=["oid"], update=[name for name in row if name != "oid"])


def waiting_objects(settings: Settings, settled_before: datetime) -> tuple[ColumnElement[bool], ...]:
    """Conditions (to be joined by AND, over LfsObject outer-joined with XetConversion) for objects
    that are to be converted: usable, large enough, not just arrived, not done, not given up."""
    may_retry = and_(
        XetConversion.state == "failed",
        XetConversion.attempts < MAX_ATTEMPTS,
        XetConversion.changed_at < clock.now() - RETRY_AFTER,
    )
    return (
        LfsObject.quarantined_at.is_(None),
        LfsObject.size_bytes >= settings.lfs_to_xet_min_bytes,
        LfsObject.created_at < settled_before,
        # Retired and there again: somebody has uploaded it anew.
        or_(XetConversion.oid.is_(None), XetConversion.state == "retired", may_retry),
    )


def list_conversions(db: Session, states: Sequence[str], changed_before: datetime) -> list[XetConversion]:
    """Rows in one of these states since before a time, oldest first."""
    statement = select(XetConversion).where(
        XetConversion.state.in_(states), XetConversion.changed_at <= changed_before
    )
    return list(db.scalars(statement.order_by(XetConversion.changed_at, XetConversion.oid)))


def sum_states(db: Session) -> list[StateSum]:
    """How many objects are in each state."""
    columns = select(XetConversion.state, func.count(), func.sum(XetConversion.size_bytes))
    rows = db.execute(columns.group_by(XetConversion.state).order_by(XetConversion.state))
    return [StateSum(state, count, int(size_bytes)) for state, count, size_bytes in rows]


def drop_plain_row(db: Session, row: XetConversion) -> None:
    """Let new readers find only the chunks; the bytes stay for those who have opened them."""
    db.execute(delete(LfsObject).where(LfsObject.oid == row.oid))
    row.state, row.changed_at = "retired", clock.now()


def restore_plain_row(db: Session, rt: Runtime, row: XetConversion) -> bool:
    """Take a retirement back; False if the bytes are gone. The caller holds the object's lock."""
    if rt.objects.head(object_key(row.oid)) != row.size_bytes:
        return False
    now = clock.now()
    plain = {"oid": row.oid, "size_bytes": row.size_bytes, "created_at": now, "touched_at": now}
    insert_missing(db, LfsObject, [plain])
    return True


def remove_retired(rt: Runtime, *, after: timedelta = REMOVE_AFTER) -> int:
    """Remove the bytes of objects retired for so long; bytes freed. Safe to be killed anywhere.

    Bytes before the row: what a crash leaves is done again. An object that was uploaded anew stays.
    """
    with rt.database.reading() as db:
        due = [row.oid for row in list_conversions(db, ["retired"], clock.now() - after)]
    return sum(_remove(rt, oid) for oid in due)


def _remove(rt: Runtime, oid: str) -> int:
    with rt.database.writing() as db:
        lock_object(db, oid)
        row = db.get(XetConversion, oid)
        if row is None or row.state != "retired":
            return 0
        is_back = db.get(LfsObject, oid) is not None
        if not is_back:
            rt.objects.delete(object_key(oid))
        db.delete(row)
        return 0 if is_back else row.size_bytes


def forget_gone(rt: Runtime) -> None:
    """Drop what is noted of objects that garbage collection has removed."""
    gone = ~select(LfsObject.oid).where(LfsObject.oid == XetConversion.oid).exists()
    with rt.database.writing() as db:
        db.execute(delete(XetConversion).where(XetConversion.state != "retired", gone))
