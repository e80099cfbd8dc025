"""Migrations and models agree, on the database of this run."""

from __future__ import annotations

from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from llmos.app.schema import MIGRATIONS, SCHEMA_REVISION, all_tables, ensure_schema, migrate
from llmos.infra.runtime import Runtime


def shape(connection: Connection) -> dict[str, Any]:
    """Every table with its columns, keys and indexes, whatever their order."""
    found = inspect(connection)
    return {
        table: {
            "columns": sorted(
                (column["name"], str(column["type"]), column["nullable"])
                for column in found.get_columns(table)
            ),
            "keys": sorted(found.get_pk_constraint(table)["constrained_columns"]),
            "unique": sorted(sorted(key["column_names"]) for key in found.get_unique_constraints(table)),
            "foreign": sorted(
                (key["constrained_columns"], key["referred_table"], str(sorted(key["options"].items())))
                for key in found.get_foreign_keys(table)
            ),
            "indexes": sorted(
                (str(index["name"]), str(index["column_names"]), bool(index["unique"]))
                for index in found.get_indexes(table)
            ),
        }
        for table in found.get_table_names()
        if not table.startswith("search_words")  # made by the dialect adapter, with tables of its own
    }


def test_migrations_make_exactly_the_models(rt: Runtime) -> None:
    with rt.database.write_engine.begin() as connection:
        new = shape(connection)
        for words in {"search_words", "search_words_posts"}.intersection(
            inspect(connection).get_table_names()
        ):
            connection.execute(text(f"DROP TABLE {words}"))
        all_tables().drop_all(connection)
        connection.execute(text("DROP TABLE alembic_version"))
        migrate(connection)
        assert shape(connection) == new
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
