"""INSERT … ON CONFLICT on both databases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from llmos.infra.db.base import Base


def _insert(db: Session, table: type[Base]) -> Any:
    dialect = db.get_bind().dialect.name
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def insert_missing(db: Session, table: type[Base], rows: Sequence[dict[str, Any]]) -> int:
    """Insert the rows whose unique keys are not there yet; return how many were new."""
    if not rows:
        return 0
    result = db.execute(_insert(db, table).on_conflict_do_nothing(), list(rows))
    return max(result.rowcount, 0)  # type: ignore[attr-defined]  # cursor results of DML have it


def upsert(
    db: Session,
    table: type[Base],
    rows: Sequence[dict[str, Any]],
    *,
    keys: Sequence[str],
    update: Sequence[str],
) -> None:
    """Insert rows; where `keys` exist already, overwrite the columns in `update`."""
    if not rows:
        return
    statement = _insert(db, table)
    statement = statement.on_conflict_do_update(
        index_elements=list(keys), set_={name: statement.excluded[name] for name in update}
    )
    db.execute(statement, list(rows))
