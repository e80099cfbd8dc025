"""A fresh database for every test: migrated once, then copied, which is a hundred times quicker.

`LLMOS_TEST_DATABASE_URL` names a PostgreSQL server to make them on. They are dropped at the end, unless
`LLMOS_TEST_DATABASE_THROWAWAY` says that the server goes with them: a thousand drops take minutes.
"""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

from llmos.app.schema import ensure_schema
from llmos.infra.runtime import open_runtime
from llmos.infra.settings import Settings


class Databases:
    """Fresh databases with this version's schema, copied from one that was migrated once."""

    def __init__(self, folder: Path) -> None:
        self._admin_url = os.environ.get("LLMOS_TEST_DATABASE_URL")
        self._made: list[str] = []
        self._connection: psycopg.Connection[Any] | None = None
        self._template = folder / "template.db"
        name = self._create("") if self._admin_url else ""
        extra = {"database_url": self._url(name)} if name else {}
        runtime = open_runtime(Settings(home=folder, **extra))
        ensure_schema(runtime)
        runtime.close()
        if name:
            self._template_name = name
        else:
            (folder / "llmos.db").rename(self._template)

    def fill(self, home: Path) -> dict[str, str]:
        """Put a database into the home folder, or make one on PostgreSQL; the settings that name it."""
        if not self._admin_url:
            home.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._template, home / "llmos.db")
            return {}
        return {"database_url": self._url(self._create(f' TEMPLATE "{self._template_name}"'))}

    def empty(self) -> dict[str, str]:
        """The settings that name a database without any table; on SQLite it comes with the home folder."""
        return {"database_url": self._url(self._create(""))} if self._admin_url else {}

    def _create(self, how: str) -> str:
        name = f"llmos_test_{uuid.uuid4().hex[:12]}"
        self._admin(f'CREATE DATABASE "{name}"{how}')
        self._made.append(name)
        return name

    def _url(self, name: str) -> str:
        return make_url(self._admin_url or "").set(database=name).render_as_string(hide_password=False)

    def drop_all(self) -> None:
        if "LLMOS_TEST_DATABASE_THROWAWAY" not in os.environ:
            for name in self._made:
                self._admin(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        if self._connection:
            self._connection.close()

    def _admin(self, statement: str) -> None:
        if self._connection is None:
            url = make_url(self._admin_url or "").set(drivername="postgresql")
            place = url.render_as_string(hide_password=False)
            self._connection = psycopg.connect(place, autocommit=True)
        self._connection.execute(statement.encode())
