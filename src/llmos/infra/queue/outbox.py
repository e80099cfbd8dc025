"""Outbox rows and their delivery: at least once, in order of id per topic, with back-off.

Handlers must be idempotent: a crash between a handler's work and the row's removal repeats it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Index, String, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from llmos.core import clock
from llmos.infra.db.base import Base, IntPk
from llmos.infra.db.engine import Database

log = logging.getLogger(__name__)

Handler = Callable[[Session, dict[str, Any]], None]

_handlers: dict[str, list[Handler]] = {}
MAX_ATTEMPTS = 12


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


def emit(db: Session, topic: str, payload: dict[str, Any]) -> None:
    """Record news in the caller's transaction; it leaves only if the transaction commits."""
    db.add(OutboxEvent(topic=topic, payload=payload))


def on(topic: str) -> Callable[[Handler], Handler]:
    """Register a handler for a topic; it runs in a transaction of its own, maybe twice."""

    def register(handler: Handler) -> Handler:
        _handlers.setdefault(topic, []).append(handler)
        return handler

    return register


def deliver_due(database: Database, *, limit: int = 100) -> int:
    """Deliver what is due, one transaction an event; return how many were taken off."""
    with database.reading() as db:
        ids = db.scalars(
            select(OutboxEvent.id)
            .where(OutboxEvent.available_at <= clock.now(), OutboxEvent.attempts < MAX_ATTEMPTS)
            .order_by(OutboxEvent.id)
            .limit(limit)
        ).all()
    return sum(_deliver(database, event_id) for event_id in ids)


def _deliver(database: Database, event_id: int) -> bool:
    try:
        with database.writing() as db:
            event = db.get(OutboxEvent, event_id, with_for_update={"skip_locked": True})
            if event is None:
                return False
            for handler in _handlers.get(event.topic, ()):
                handler(db, event.payload)
            db.execute(delete(OutboxEvent).where(OutboxEvent.id == event_id))
        return True
    except Exception as error:  # worker loop: one bad event must not stop the others
        log.exception("outbox event %s failed", event_id)
        _postpone(database, event_id, str(error))
        return False


def _postpone(database: Database, event_id: int, error: str) -> None:
    with database.writing() as db:
        event = db.get(OutboxEvent, event_id)
        if event is not None:
            event.attempts += 1
            event.last_error = error[:2000]
            event.available_at = clock.now() + timedelta(seconds=min(2**event.attempts, 3600))
