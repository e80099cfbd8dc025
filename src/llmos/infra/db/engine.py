"""Engines and sessions: one `Database` per process."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.orm import Session

_WRITE_OPTION = "llmos_write"


def _make_private(path: Path) -> None:
    """An empty database that nobody else may read; SQLite gives `-wal` and `-shm` the same mode."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


class Database:
    """Opens sessions for reading and for writing.

    On SQLite a writing session begins IMMEDIATE: a deferred transaction that reads first and
    writes later fails at once when another writer was faster, instead of waiting its turn.
    """

    def __init__(self, url: str, *, pool_size: int = 20) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = self._sqlite_engine(pool_size) if self.is_sqlite else self._pg_engine(pool_size)
        self.write_engine = self.engine.execution_options(**{_WRITE_OPTION: True})

    def _sqlite_engine(self, pool_size: int) -> Engine:
        assert self.url.database
        _make_private(Path(self.url.database))
        engine = create_engine(
            self.url,
            pool_size=pool_size,
            max_overflow=pool_size,
            connect_args={"check_same_thread": False, "timeout": 30, "cached_statements": 512},
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _pg_engine(self, pool_size: int) -> Engine:
        url = self.url
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        return create_engine(url, pool_size=pool_size, max_overflow=pool_size, pool_pre_ping=True)

    def read_session(self) -> Session:
        """A session for looking only; never commit it."""
        return Session(self.engine, expire_on_commit=False)

    def write_session(self) -> Session:
        """A session whose owner commits; on SQLite it holds the only write lock from its first query."""
        return Session(self.write_engine, expire_on_commit=False)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        with self.read_session() as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """One transaction: committed at the end, rolled back when the block raises."""
        with self.write_session() as session:
            yield session
            session.commit()

    def dispose(self) -> None:
        self.engine.dispose()


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver's own transaction handling would begin too late and commit on DDL.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA cache_size = -16384")
    cursor.execute("PRAGMA temp_store = MEMORY")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get(_WRITE_OPTION)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
