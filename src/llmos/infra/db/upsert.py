"""INSERT … ON CONFLICT on both databases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import CursorResult, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from llmos.infra.db.base import Base


def _insert(db: Session, table: type[Base]) -> Any:
    dialect = db.get_bind().dialect.name
    # The table, not the class: an insert through the mapper does not tell how many rows it wrote.
    core = cast(Table, table.__table__)
    return postgresql.insert(core) if dialect == "postgresql" else sqlite.insert(core)


def insert_missing(db: Session, table: type[Base], rows: Sequence[dict[str, Any]]) -> int:
    """Insert the rows whose unique keys are not there yet; return how many were new."""
    if not rows:
        return 0
    # inline: asking for generated keys back would hide the number of rows on PostgreSQL.
    statement = _insert(db, table).on_conflict_do_nothing().inline()
    result = db.execute(statement, list(rows), execution_options={"preserve_rowcount": True})
    return max(cast(CursorResult[Any], result).rowcount, 0)


def insert_new(db: Session, table: type[Base], rows: Sequence[dict[str, Any]], column: str) -> set[Any]:
    """`insert_missing` that tells which rows were new, by the values of one column."""
    if not rows:
        return set()
    made = _insert(db, table).on_conflict_do_nothing().returning(table.__table__.c[column])
    return set(db.scalars(made, list(rows)))


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
