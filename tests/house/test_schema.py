"""Migrations and models agree, on the database of this run."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from llmos.app.schema import MIGRATIONS, SCHEMA_REVISION, all_tables, ensure_schema
from llmos.infra.runtime import Runtime


def test_migrations_make_exactly_the_models(rt: Runtime) -> None:
    with rt.database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = [item for item in compare_metadata(context, all_tables()) if not _is_search_table(item)]
    assert not differences


def _is_search_table(difference: object) -> bool:
    # Full-text tables belong to the dialect adapter, not to the models.
    return "search" in repr(difference) and "remove_table" in repr(difference)


def test_schema_is_brought_up_twice_without_harm(rt: Runtime) -> None:
    ensure_schema(rt)
    ensure_schema(rt)


def test_the_newest_migration_is_the_one_the_program_expects() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == SCHEMA_REVISION
