"""A lock by name that lasts until the transaction ends."""

from __future__ import annotations

import hashlib

from sqlalchemy import func, select
from sqlalchemy.orm import Session


def lock_name(db: Session, name: str) -> None:
    """Wait until no other writing transaction holds `name`, then hold it to the end of ours.

    On SQLite a writing session excludes all others from its start, so there is nothing to do.
    """
    if db.get_bind().dialect.name == "postgresql":
        key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        db.execute(select(func.pg_advisory_xact_lock(key)))
