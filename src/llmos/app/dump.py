"""All rows of an instance as one file that either database can be filled from.

Lines of JSON, compressed: a head with the schema's revision; then, for every table, a line with its
name and columns (each with the kind of its values) and a line per row.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable, Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import JSON, Column, Connection, Date, LargeBinary, Table, insert, inspect, select, text
from sqlalchemy import column as plain_column
from sqlalchemy import table as plain_table
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError

from llmos.app.schema import SCHEMA_REVISION, all_tables, migrate
from llmos.core.errors import BadRequest, LlmosError
from llmos.infra.db.base import JsonDoc, UtcDateTime
from llmos.infra.db.bulk import drop_tables, reset_counters, without_foreign_keys
from llmos.infra.db.engine import Database
from llmos.infra.search.index import SHELVES, read_words, store_words

FORMAT = 1
_BATCH = 500
_KINDS: dict[str, Any] = {
    "time": UtcDateTime(),
    "json": JsonDoc,
    "json?": JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql"),
    "bytes": LargeBinary(),
}
_READ: dict[str, Callable[[Any], Any]] = {
    "time": datetime.fromisoformat,
    "date": date.fromisoformat,
    "bytes": base64.b64decode,
}


def dump_rows(database: Database, target: Path) -> int:
    """Write every row to `target`, as they all were at one moment; return how many."""
    count = 0
    part = target.with_name(f"{target.name}.part")
    with gzip.open(part, "wb", compresslevel=1) as out, database.engine.connect() as connection:
        if not database.is_sqlite:  # SQLite reads like this always
            connection.execution_options(isolation_level="REPEATABLE READ")
        out.write(_line({"format": FORMAT, "revision": SCHEMA_REVISION}))
        for _, table in sorted(all_tables().tables.items()):
            count += _dump_table(connection, table, out.write)
        for shelf in SHELVES:
            out.write(_line({"words": shelf.__tablename__}))
            for row in read_words(connection, shelf):
                out.write(_line([row["id"], row["title"], row["body"]]))
    part.replace(target)
    return count


def check_free(database: Database) -> None:
    """Raises BadRequest where somebody has an account already."""
    with database.reading() as db:
        connection = db.connection()
        is_new = not inspect(connection).has_table("users")
        if not is_new and connection.scalar(text("SELECT count(*) FROM users")):
            raise BadRequest("The database holds people already: name an empty one, or add --force.")


def load_rows(database: Database, source: Path) -> int:
    """Fill the database from a dump; return how many rows came in. All of it or nothing.

    What stands there is dropped. Raises LlmosError where the dump was made by a newer version.
    """
    with gzip.open(source, "rb") as lines, database.write_engine.begin() as connection:
        head = orjson.loads(next(lines))
        if head["format"] != FORMAT:
            raise BadRequest(f"{source} was made by another version of LLMOS: upgrade the program.")
        _clear(connection)
        migrate(connection, head["revision"])
        try:
            with without_foreign_keys(connection):
                count = _load(connection, lines)
            reset_counters(connection)
            return count
        except DBAPIError as error:
            raise LlmosError(f"The database refused a row of the backup: {error.orig}") from error


def _dump_table(connection: Connection, table: Table, write: Callable[[bytes], object]) -> int:
    # The words of the search index go by themselves: the two databases keep them differently.
    columns = [column for column in table.columns if column.name != "vector"]
    write(_line({"table": table.name, "columns": [[column.name, _kind(column)] for column in columns]}))
    count = 0
    for row in connection.execute(select(*columns), execution_options={"yield_per": _BATCH}):
        write(_line(list(row)))
        count += 1
    return count


def _kind(column: Column[Any]) -> str:
    if isinstance(column.type, JSON):
        return "json?" if column.nullable else "json"
    for kind, types in (("time", UtcDateTime), ("date", Date), ("bytes", LargeBinary)):
        if isinstance(column.type, types):
            return kind
    return "plain"


def _load(connection: Connection, lines: Iterable[bytes]) -> int:
    count = 0
    put: Callable[[list[Any]], object] | None = None
    kept: list[Any] = []
    for line in lines:
        value = orjson.loads(line)
        if isinstance(value, list):
            kept.append(value)
            if len(kept) < _BATCH:
                continue
        if put is not None and kept:
            put(kept)
            count += len(kept)
        kept = []
        if isinstance(value, dict):
            put = _writer(connection, value)
    if put is not None and kept:
        put(kept)
    return count


def _writer(connection: Connection, head: dict[str, Any]) -> Callable[[list[Any]], object]:
    if "words" in head:
        shelf = next(shelf for shelf in SHELVES if shelf.__tablename__ == head["words"])
        return lambda rows: store_words(
            connection, shelf, [dict(zip(("id", "title", "body"), row, strict=True)) for row in rows]
        )
    names = [name for name, _ in head["columns"]]
    readers = [_READ.get(kind) for _, kind in head["columns"]]
    columns = [plain_column(name, _KINDS.get(kind)) for name, kind in head["columns"]]
    statement = insert(plain_table(head["table"], *columns))

    def put(rows: list[Any]) -> None:
        values = [
            [
                item if read is None or item is None else read(item)
                for read, item in zip(readers, row, strict=True)
            ]
            for row in rows
        ]
        connection.execute(statement, [dict(zip(names, row, strict=True)) for row in values])

    return put


def _clear(connection: Connection) -> None:
    ours = {*all_tables().tables, *(shelf.words_table for shelf in SHELVES), "alembic_version"}
    drop_tables(connection, ours & set(inspect(connection).get_table_names()))


def _line(value: Any) -> bytes:
    return orjson.dumps(value, default=_plain, option=orjson.OPT_APPEND_NEWLINE)


def _plain(value: Any) -> str:
    if isinstance(value, (bytes, memoryview)):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value)} in a row")
