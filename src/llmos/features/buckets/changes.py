"""What changed in a bucket since some moment, for those who follow it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest
from llmos.features.buckets.models import BucketChange
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime

KEEP_CHANGES = timedelta(days=7)
MAX_CHANGES = 500
_MAX_MS = 253_402_300_799_000  # the end of the year 9999


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the feed: everything up to this change has been told, as of `at`."""

    change_id: int
    at: datetime

    def encode(self) -> str:
        return f"{int(self.at.timestamp() * 1000)}-{self.change_id}"

    @property
    def is_too_old(self) -> bool:
        """Changes after it may have been forgotten: the reader has to list the bucket anew."""
        return self.at < clock.now() - KEEP_CHANGES


def parse_mark(text: str) -> Mark:
    """The opposite of `encode`; BadRequest for anything else."""
    at_ms, _, change_id = text.partition("-")
    parts = (at_ms, change_id)
    if not all(part.isascii() and part.isdigit() and len(part) <= 15 for part in parts):
        raise BadRequest(lazy("cursor is not one this server gave out: leave it out to start."))
    return Mark(int(change_id), clock.from_unix(min(int(at_ms), _MAX_MS) / 1000))


def last_mark(db: Session, bucket_id: int) -> Mark:
    """The end of the feed: only what comes next follows."""
    last = db.scalar(select(func.max(BucketChange.id)).where(BucketChange.bucket_id == bucket_id))
    return Mark(int(last or 0), clock.now())


def mark_since(db: Session, bucket_id: int, since: datetime) -> Mark:
    """The place just before the first change at or after `since`."""
    first = db.scalar(
        select(func.min(BucketChange.id)).where(
            BucketChange.bucket_id == bucket_id, BucketChange.changed_at >= since
        )
    )
    return Mark(first - 1 if first is not None else last_mark(db, bucket_id).change_id, since)


def list_changes(db: Session, bucket_id: int, after: Mark) -> tuple[Sequence[BucketChange], Mark]:
    """Up to `MAX_CHANGES` changes that follow, in their order, and the mark behind them."""
    statement = (
        select(BucketChange)
        .where(BucketChange.bucket_id == bucket_id, BucketChange.id > after.change_id)
        .order_by(BucketChange.id)
        .limit(MAX_CHANGES)
    )
    found = db.scalars(statement).all()
    # An end of the feed seen now is as good as its last change: it does not grow old by itself.
    return found, Mark(found[-1].id if found else after.change_id, clock.now())


def forget_old_changes(rt: Runtime) -> None:
    """Remove changes that no mark may lead to any more."""
    with rt.database.writing() as db:
        db.execute(delete(BucketChange).where(BucketChange.changed_at < clock.now() - KEEP_CHANGES))
