"""Outbox rows and their delivery: at least once, in order of id per topic, with back-off.

Handlers must be idempotent: a crash between a handler's work and the row's removal repeats it.
A handler that waits for another machine registers by `on_outside`: it holds no transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Index, String, delete, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from llmos.core import clock
from llmos.infra.db.base import Base, IntPk
from llmos.infra.db.engine import Database

log = logging.getLogger(__name__)

Handler = Callable[[Session, dict[str, Any]], None]
OutsideHandler = Callable[[Database, dict[str, Any]], None]
Side = Literal["all", "inside", "outside"]

_handlers: dict[str, list[Handler]] = {}
_outside: dict[str, OutsideHandler] = {}
# With MAX_DELAY_S between them: three days, so that a mail server may be away over a weekend.
MAX_ATTEMPTS = 300
MAX_DELAY_S = 900
# How long a process may work on an outside event before another one takes it over.
CLAIM_S = 300


class OutboxEvent(Base):
    """One piece of news waiting to be delivered; removed when every handler has taken it."""

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_available", "available_at"),)

    id: Mapped[IntPk]
    topic: Mapped[str] = mapped_column(String(80))
    payload: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    available_at: Mapped[datetime] = mapped_column(default=clock.now)
    attempts: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str | None]

    @property
    def key(self) -> str:
        """The same at every delivery of this event, and never that of another one.

        An id alone is given out again once the table has been empty.
        """
        return f"{self.id}-{int(self.created_at.timestamp() * 1_000_000):x}"


def emit(db: Session, topic: str, payload: dict[str, Any]) -> None:
    """Record news in the caller's transaction; it leaves only if the transaction commits."""
    db.add(OutboxEvent(topic=topic, payload=payload))


def on(topic: str) -> Callable[[Handler], Handler]:
    """Register a handler for a topic; it runs in a transaction of its own, maybe twice.

    The payload it gets holds the event's `key` as `event_key`, and when it happened (unix
    seconds) as `event_at`.
    """

    def register(handler: Handler) -> Handler:
        _handlers.setdefault(topic, []).append(handler)
        return handler

    return register


def on_outside(topic: str) -> Callable[[OutsideHandler], OutsideHandler]:
    """Register the one handler of a topic that leaves this machine; it runs outside of any transaction.

    Several events may wait for it without holding up the others: see `deliver_due`.
    """

    def register(handler: OutsideHandler) -> OutsideHandler:
        _outside[topic] = handler
        return handler

    return register


def deliver_due(database: Database, *, limit: int = 100, side: Side = "all") -> int:
    """Deliver what is due, one transaction an event; return how many were taken off.

    `side` says which topics: those of `on` ("inside"), those of `on_outside`, or all.
    """
    statement = select(OutboxEvent.id, OutboxEvent.topic).where(
        OutboxEvent.available_at <= clock.now(), OutboxEvent.attempts < MAX_ATTEMPTS
    )
    if side != "all":
        is_outside = OutboxEvent.topic.in_(list(_outside))
        statement = statement.where(is_outside if side == "outside" else ~is_outside)
    with database.reading() as db:
        rows = db.execute(statement.order_by(OutboxEvent.id).limit(limit)).all()
    return sum(
        _deliver_outside(database, row.id) if row.topic in _outside else _deliver(database, row.id)
        for row in rows
    )


def next_event_at(db: Session) -> datetime | None:
    """When the next event is to be delivered (again); None where none waits."""
    return db.scalar(select(func.min(OutboxEvent.available_at)).where(OutboxEvent.attempts < MAX_ATTEMPTS))


def _payload(event: OutboxEvent) -> dict[str, Any]:
    return event.payload | {"event_key": event.key, "event_at": event.created_at.timestamp()}


def _deliver(database: Database, event_id: int) -> bool:
    try:
        with database.writing() as db:
            event = db.get(OutboxEvent, event_id, with_for_update={"skip_locked": True})
            if event is None:
                return False
            for handler in _handlers.get(event.topic, ()):
                handler(db, _payload(event))
            db.execute(delete(OutboxEvent).where(OutboxEvent.id == event_id))
        return True
    except Exception as error:  # worker loop: one bad event must not stop the others
        log.exception("outbox event %s failed", event_id)
        _postpone(database, event_id, str(error))
        return False


def _deliver_outside(database: Database, event_id: int) -> bool:
    try:
        event = _claim(database, event_id)
        if event is None:
            return False
        _outside[event.topic](database, _payload(event))
        with database.writing() as db:
            db.execute(delete(OutboxEvent).where(OutboxEvent.id == event_id))
        return True
    except Exception as error:  # worker loop: one bad event must not stop the others
        log.warning("outbox event %s has to wait: %s", event_id, error)
        _postpone(database, event_id, str(error))
        return False


def _claim(database: Database, event_id: int) -> OutboxEvent | None:
    """Take an event for CLAIM_S; None when somebody else has it."""
    now = clock.now()
    with database.writing() as db:
        event = db.get(OutboxEvent, event_id)
        taken = db.execute(
            update(OutboxEvent)
            .where(OutboxEvent.id == event_id, OutboxEvent.available_at <= now)
            .values(available_at=now + timedelta(seconds=CLAIM_S))
            .returning(OutboxEvent.id)
        ).first()
        return event if taken is not None else None


def _postpone(database: Database, event_id: int, error: str) -> None:
    with database.writing() as db:
        event = db.get(OutboxEvent, event_id)
        if event is not None:
            event.attempts += 1
            event.last_error = error[:2000]
            delay_s = min(2 ** min(event.attempts, 20), MAX_DELAY_S)
            event.available_at = clock.now() + timedelta(seconds=delay_s)
