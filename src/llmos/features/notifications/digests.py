"""Digests: what nobody has read yet, once a day or once a week, each exactly once.

The row that names the period, the queued mail and the mark on its notifications are one
transaction: a crash leaves all of it or nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.features.notifications.mails import DIGEST_TOPIC
from llmos.features.notifications.models import Digest, Notification
from llmos.features.notifications.reasons import DAILY, WEEKLY
from llmos.infra.db.upsert import insert_missing
from llmos.infra.queue.outbox import emit
from llmos.infra.runtime import Runtime

# From this hour (UTC) of the day, and of Monday, a digest may go.
HOUR: Final = 6
MAX_ITEMS: Final = 50
KEEP_READ: Final = timedelta(days=180)
_KEEP_PERIODS: Final = timedelta(days=60)


def period_of(mode: str, now: datetime) -> str:
    """The name of the digest that is due: `daily:2026-11-22`, `weekly:2026-W47`."""
    due = now - timedelta(hours=HOUR)
    if mode == DAILY:
        return f"{DAILY}:{due:%Y-%m-%d}"
    year, week, _ = due.isocalendar()
    return f"{WEEKLY}:{year}-W{week:02d}"


def period_start(mode: str, now: datetime) -> datetime:
    """When that period began: only what is older belongs into its digest."""
    day = (now - timedelta(hours=HOUR)).replace(hour=HOUR, minute=0, second=0, microsecond=0)
    return day if mode == DAILY else day - timedelta(days=day.weekday())


def queue_digests(rt: Runtime, now: datetime | None = None) -> int:
    """Hand every digest that is due to the mail queue; how many that were."""
    now = now or clock.now()
    queued = 0
    for mode in (DAILY, WEEKLY):
        start = period_start(mode, now)
        with rt.database.reading() as db:
            people = db.scalars(
                select(Notification.user_id)
                .where(Notification.mail == mode, Notification.mailed_at.is_(None))
                .where(Notification.read_at.is_(None), Notification.created_at < start)
                .distinct()
            ).all()
        for user_id in people:
            with rt.database.writing() as db:
                queued += _queue(db, user_id, mode, period_of(mode, now), start)
    return queued


def _queue(db: Session, user_id: int, mode: str, period: str, start: datetime) -> int:
    row = {"user_id": user_id, "period": period, "created_at": clock.now()}
    if not insert_missing(db, Digest, [row]):
        return 0
    waiting = (
        select(Notification.id)
        .where(Notification.user_id == user_id, Notification.mail == mode)
        .where(Notification.mailed_at.is_(None), Notification.read_at.is_(None))
        .where(Notification.created_at < start)
    )
    ids = list(db.scalars(waiting.order_by(Notification.id.desc()).limit(MAX_ITEMS)))
    emit(db, DIGEST_TOPIC, {"user_id": user_id, "period": period, "ids": ids})
    # Also those beyond MAX_ITEMS: they are in the inbox, and a backlog must not follow for weeks.
    db.execute(
        update(Notification)
        .where(Notification.user_id == user_id, Notification.mail == mode)
        .where(Notification.mailed_at.is_(None), Notification.created_at < start)
        .values(mailed_at=clock.now())
    )
    return 1


def forget_old(rt: Runtime) -> None:
    """Drop what was read long ago, and the names of past digests."""
    now = clock.now()
    with rt.database.writing() as db:
        db.execute(delete(Notification).where(Notification.read_at < now - KEEP_READ))
        db.execute(delete(Digest).where(Digest.created_at < now - _KEEP_PERIODS))
