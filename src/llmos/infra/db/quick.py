"""One-row look-ups for the hottest paths, without the machinery of a session."""

from __future__ import annotations

import threading
from typing import Any

from sqlalchemy import Select

from llmos.infra.db.engine import Database


class QuickQuery:
    """A compiled SELECT, run inline on a connection of the calling thread; SQLite only.

    On a server database a query waits for the network and belongs into a thread with a session;
    `is_available` says which case it is. Each run sees everything committed before it.
    """

    def __init__(self, database: Database, statement: Select[*tuple[Any, ...]]) -> None:
        self.is_available = database.is_sqlite
        self._database = database
        compiled = statement.compile(database.engine)
        self._sql = str(compiled)
        self._names = tuple(compiled.positiontup or ())
        self._defaults = dict(compiled.params)
        self._held = threading.local()

    def first(self, **params: Any) -> tuple[Any, ...] | None:
        """The first row, raw column values as the driver gives them, or None."""
        cursor = getattr(self._held, "cursor", None)
        if cursor is None:
            cursor = self._held.cursor = self._open()
        values = self._defaults | params
        # Reading all rows ends the statement and with it the snapshot.
        rows = cursor.execute(self._sql, tuple(values[name] for name in self._names)).fetchall()
        return rows[0] if rows else None

    def _open(self) -> Any:
        fairy = self._database.engine.raw_connection()
        fairy.detach()
        # Outside a transaction every statement reads the latest commit.
        return fairy.cursor()
