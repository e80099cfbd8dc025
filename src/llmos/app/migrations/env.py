"""Alembic's entry: migrates the connection given by `llmos.app.schema`, or that of the settings."""

from __future__ import annotations

from typing import Literal

from alembic import context
from sqlalchemy import Connection

from llmos.app.schema import all_tables
from llmos.infra.db.base import UtcDateTime
from llmos.infra.db.engine import Database
from llmos.infra.settings import get_settings


def _render_item(kind: str, item: object, _context: object) -> str | Literal[False]:
    """Migrations name plain types only, so that they outlive the classes of today."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


def _is_ours(name: str | None, kind: str, _parents: object) -> bool:
    """The full-text index of SQLite is a virtual table with shadow tables; infra/search makes it."""
    return not (kind == "table" and name is not None and name.startswith("search_words"))


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=all_tables(),
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        render_item=_render_item,
        compare_server_default=False,
        include_name=_is_ours,
    )
    with context.begin_transaction():
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    with Database(get_settings().database).engine.connect() as own:
        _run(own)
        own.commit()
