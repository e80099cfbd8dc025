"""Filling whole tables at once, in any order: foreign keys are checked when everything is in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, inspect, text


@contextmanager
def without_foreign_keys(connection: Connection) -> Iterator[None]:
    """Rows may name others that come later; at the end (SQLite: at COMMIT) each must be there."""
    if connection.dialect.name == "sqlite":
        connection.execute(text("PRAGMA defer_foreign_keys = ON"))
        yield
        return
    keys = connection.execute(
        text(
            "SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid) "
            "FROM pg_constraint WHERE contype = 'f' AND connamespace = current_schema()::regnamespace"
        )
    ).all()
    for table, name, _ in keys:
        connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {name}"))
    yield
    for table, name, definition in keys:
        connection.execute(text(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}"))


def reset_counters(connection: Connection) -> None:
    """PostgreSQL hands out ids from counters that know nothing of rows that brought their own."""
    if connection.dialect.name == "sqlite":
        return
    quote = connection.dialect.identifier_preparer.quote
    for table in inspect(connection).get_table_names():
        for column in inspect(connection).get_pk_constraint(table)["constrained_columns"]:
            name, key = quote(table), quote(column)
            counter = connection.scalar(
                text("SELECT pg_get_serial_sequence(:name, :column)"), {"name": name, "column": column}
            )
            if counter is not None:
                connection.execute(
                    text(f"SELECT setval(:counter, coalesce(max({key}), 0) + 1, false) FROM {name}"),
                    {"counter": counter},
                )


def drop_tables(connection: Connection, names: Iterable[str]) -> None:
    """Drop the tables with all that hangs on them."""
    is_sqlite = connection.dialect.name == "sqlite"
    if is_sqlite:
        connection.execute(text("PRAGMA defer_foreign_keys = ON"))
    quote = connection.dialect.identifier_preparer.quote
    for name in names:
        connection.execute(text(f"DROP TABLE {quote(name)}" + ("" if is_sqlite else " CASCADE")))
