"""The database schema of this version, reached by migrations."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path

from sqlalchemy import Connection, MetaData, inspect, text

from llmos.core.errors import LlmosError
from llmos.infra.db.base import Base
from llmos.infra.runtime import Runtime
from llmos.infra.search.tables import create_fts_table

# The newest migration; a house test compares it with the folder.
SCHEMA_REVISION = "0006"
MODEL_MODULES = (
    "llmos.infra.queue.outbox",
    "llmos.infra.search.tables",
    "llmos.features.accounts.models",
    "llmos.features.auth.models",
    "llmos.features.storage.models",
    "llmos.features.storage.xet.models",
    "llmos.features.repos.models",
    "llmos.features.buckets.models",
    "llmos.features.jobs.models",
    "llmos.features.discussions.models",
    "llmos.features.discussions.forum_models",
    "llmos.features.collections.models",
    "llmos.features.discovery.models",
    "llmos.features.endpoints.models",
    "llmos.features.playground.models",
    "llmos.features.evals.models",
    "llmos.features.notifications.models",
    "llmos.features.quickstart.models",
    "llmos.features.moderation.models",
    "llmos.features.rights.models",
)
MIGRATIONS = Path(__file__).parent / "migrations"
# Two processes may start at once; on PostgreSQL the second waits on this advisory lock.
_PG_LOCK = 0x11305


def all_tables() -> MetaData:
    """The metadata with every feature's tables registered."""
    for name in MODEL_MODULES:
        importlib.import_module(name)
    return Base.metadata


def ensure_schema(rt: Runtime) -> None:
    """Bring the database to this version, an empty one at once; one query when nothing is to do.

    Raises LlmosError when the database was made by a newer version.
    """
    with rt.database.reading() as db:
        if _current_revision(db.connection()) == SCHEMA_REVISION:
            return
    with rt.database.write_engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _PG_LOCK})
        if _is_empty(connection):
            _create(connection)
        elif _current_revision(connection) != SCHEMA_REVISION:
            migrate(connection)
    from llmos.features.discussions.categories import ensure_categories

    ensure_categories(rt)


def _is_empty(connection: Connection) -> bool:
    return not inspect(connection).get_table_names()


def _create(connection: Connection) -> None:
    """What all migrations together would make; loading Alembic for it takes seconds and 15 MB that stay."""
    all_tables().create_all(connection)
    connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    connection.execute(text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": SCHEMA_REVISION})
    create_fts_table(connection)


def _current_revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def migrate(connection: Connection, revision: str = "head") -> None:
    """Bring the database to a revision. Raises LlmosError when one that this version does not know is met."""
    # It tells of every plugin it sets up while it loads; only its warnings are news to an operator.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # Imported here: it takes longer to load than all other starts take altogether.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    known = {revision.revision for revision in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}
    if not {_current_revision(connection), revision} <= {None, "head", *known}:
        raise LlmosError(
            "This database was made by a newer version of LLMOS: upgrade the program, or restore a backup."
        )
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    create_fts_table(connection)
