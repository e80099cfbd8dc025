"""Fixtures shared by all tests. `LLMOS_TEST_DATABASE_URL` runs the suite on another database."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from kit.databases import Databases
from kit.people import add_people
from kit.server import LiveServer, live_server
from llmos.app.asgi import create_app
from llmos.infra.runtime import Runtime, open_runtime
from llmos.infra.settings import Settings

# Nothing but what a test makes is there.
os.environ.setdefault("LLMOS_DEMO", "0")


def pytest_collection_finish() -> None:
    """Modules stay as long as the process: the collector need not walk through them after each test."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 20)


@pytest.fixture(scope="session")
def _databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    databases = Databases(tmp_path_factory.mktemp("schema"))
    yield databases
    databases.drop_all()


@pytest.fixture
def database(tmp_path: Path, _databases: Databases) -> dict[str, str]:
    """A fresh database for an instance at `tmp_path / "home"`; the settings that name it."""
    return _databases.fill(tmp_path / "home")


@pytest.fixture
def rt(tmp_path: Path, _databases: Databases) -> Iterator[Runtime]:
    """A runtime over an empty folder, schema created."""
    extra = _databases.fill(tmp_path / "home")
    runtime = open_runtime(Settings(home=tmp_path / "home", rate_limits=False, **extra))
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
def server(tmp_path_factory: pytest.TempPathFactory, _databases: Databases) -> Iterator[LiveServer]:
    """One live server for the session, with everybody of `kit.people`."""
    home = tmp_path_factory.mktemp("live") / "home"
    extra = _databases.fill(home)
    runtime = open_runtime(Settings(home=home, **extra))
    tokens = add_people(runtime)
    runtime.close()
    with live_server(home, **extra) as live:
        live.tokens.update(tokens)
        yield live


@pytest.fixture(scope="session")
def engine_runner(server: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """The session's server with a runner that serves models (and takes no jobs) connected to it."""
    from kit.serving import engine_runner as connect
    from llmos.runner.bubblewrap import probe_isolation

    if problem := probe_isolation().reason:
        pytest.skip(problem)
    with connect(server, tmp_path_factory.mktemp("engines") / "engines"):
        yield server


@pytest.fixture(scope="session")
def chat_model(engine_runner: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny chat model of ada that the session's server serves at the first call; its name."""
    from kit.serving import put_model, tiny_chat_model

    put_model(engine_runner, tiny_chat_model(tmp_path_factory.mktemp("model") / "chat"), "ada/tiny-chat")
    return "ada/tiny-chat"
