"""Fixtures shared by all tests. `LLMOS_TEST_DATABASE_URL` runs the suite on another database."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text
from starlette.testclient import TestClient

from kit.people import add_people
from kit.server import LiveServer, live_server
from llmos.app.asgi import create_app
from llmos.app.schema import ensure_schema
from llmos.infra.runtime import Runtime, open_runtime
from llmos.infra.settings import Settings


@pytest.fixture(scope="session")
def _database_factory() -> Iterator[object]:
    """Makes a fresh database per call: None for SQLite in the home folder, else a PostgreSQL URL."""
    admin_url = os.environ.get("LLMOS_TEST_DATABASE_URL")
    made: list[str] = []

    def make() -> str | None:
        if not admin_url:
            return None
        name = f"llmos_test_{uuid.uuid4().hex[:12]}"
        _admin(admin_url, f'CREATE DATABASE "{name}"')
        made.append(name)
        return make_url(admin_url).set(database=name).render_as_string(hide_password=False)

    yield make
    for name in made:
        _admin(admin_url or "", f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _admin(url: str, statement: str) -> None:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def _settings(home: Path, database_factory: object) -> dict[str, str]:
    url = database_factory()  # type: ignore[operator]
    return {"database_url": url} if url else {}


@pytest.fixture
def rt(tmp_path: Path, _database_factory: object) -> Iterator[Runtime]:
    """A runtime over an empty folder, schema created."""
    extra = _settings(tmp_path, _database_factory)
    runtime = open_runtime(Settings(home=tmp_path / "home", rate_limits=False, **extra))
    ensure_schema(runtime)
    yield runtime
    runtime.close()


@pytest.fixture
def tokens(rt: Runtime) -> dict[str, str]:
    """Everybody of `kit.people`, in the runtime of this test; person -> write token."""
    return add_people(rt)


@pytest.fixture
def app_client(rt: Runtime) -> Iterator[TestClient]:
    """An in-process client over the runtime of this test."""
    with TestClient(create_app(runtime=rt), base_url="http://testserver", follow_redirects=False) as client:
        yield client


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, _database_factory: object) -> Iterator[LiveServer]:
    """One live server for the session, with everybody of `kit.people`."""
    home = tmp_path_factory.mktemp("live") / "home"
    extra = _settings(home, _database_factory)
    runtime = open_runtime(Settings(home=home, **extra))
    ensure_schema(runtime)
    tokens = add_people(runtime)
    runtime.close()
    with live_server(home, **extra) as live:
        live.tokens.update(tokens)
        yield live
