"""The database schema of this version, reached by migrations."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, text

from llmos.core.errors import LlmosError
from llmos.infra.db.base import Base
from llmos.infra.runtime import Runtime

MODEL_MODULES = (
    "llmos.infra.queue.outbox",
    "llmos.infra.search.tables",
    "llmos.features.accounts.models",
    "llmos.features.auth.models",
    "llmos.features.storage.models",
    "llmos.features.repos.models",
)
MIGRATIONS = Path(__file__).parent / "migrations"
# Two processes may start at once; on PostgreSQL the second waits on this advisory lock.
_PG_LOCK = 0x11305


def all_tables() -> MetaData:
    """The metadata with every feature's tables registered."""
    for name in MODEL_MODULES:
        importlib.import_module(name)
    return Base.metadata


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def ensure_schema(rt: Runtime) -> None:
    """Migrate the database to this version; quick when nothing is to do.

    Raises LlmosError when the database was made by a newer version.
    """
    all_tables()
    # Alembic tells of every plugin it sets up; only its warnings are news to an operator.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with rt.database.write_engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _PG_LOCK})
        all_tables().create_all(connection)
        current = MigrationContext.configure(connection).get_current_revision()
        script = ScriptDirectory(str(MIGRATIONS))
        if current == script.get_current_head():
            return
        known = {revision.revision for revision in script.walk_revisions()}
        if current is not None and current not in known:
            raise LlmosError(
                "This database was made by a newer version of LLMOS: upgrade the program, "
                "or restore a backup."
            )
        command.upgrade(_config(connection), "head")
