"""The audit trail: one row for everything that changes access."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import AuditEvent


def record(db: Session, actor: Actor, action: str, subject: str, **data: Any) -> None:
    """Add a row in the caller's transaction. `action` is `noun.verb`, e.g. `token.create`."""
    db.add(
        AuditEvent(
            actor_id=actor.user_id,
            actor_name=actor.name,
            action=action,
            subject=subject,
            data=data,
            ip=actor.ip,
        )
    )
