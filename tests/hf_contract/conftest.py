"""Fixtures of the contract tests: the official client against the live server."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import HfApi
from huggingface_hub.utils._http import close_session

from kit.server import LiveServer
from llmos.features.auth.credentials import actor_for_token
from llmos.features.repos.lifecycle import create_repo
from llmos.infra.runtime import Runtime, open_runtime
from llmos.infra.settings import Settings

_numbers = itertools.count(1)


@pytest.fixture
def ada(server: LiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HfApi:
    """Ada's client; large files go through LFS, as Xet is another contract."""
    return _client(server, "ada", tmp_path, monkeypatch)


@pytest.fixture
def grace(server: LiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HfApi:
    return _client(server, "grace", tmp_path, monkeypatch)


def _client(server: LiveServer, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HfApi:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    return HfApi(endpoint=server.url, token=server.tokens[name])


@pytest.fixture
def server_rt(server: LiveServer) -> Iterator[Runtime]:
    """A second runtime over the live server's folder and database, as a command would open it."""
    extra = {"database_url": server.env["LLMOS_DATABASE_URL"]} if "LLMOS_DATABASE_URL" in server.env else {}
    runtime = open_runtime(Settings(home=server.home, **extra))
    yield runtime
    runtime.close()


@pytest.fixture
def repo(server: LiveServer, server_rt: Runtime) -> Callable[..., str]:
    """Make a repository of ada's and return its id; each test gets fresh ones."""

    def make(**options: Any) -> str:
        name = f"content-{next(_numbers)}"
        with server_rt.database.reading() as db:
            actor = actor_for_token(db, server.tokens["ada"])
        with server_rt.database.writing() as db:
            create_repo(db, actor, server_rt, name=name, **options)
        return f"ada/{name}"

    return make


@pytest.fixture
def http(server: LiveServer) -> Iterator[httpx.Client]:
    """Plain HTTP without credentials."""
    with httpx.Client(base_url=server.url, follow_redirects=False, timeout=30) as client:
        yield client


@pytest.fixture
def as_ada(server: LiveServer) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {server.tokens['ada']}"}
    with httpx.Client(base_url=server.url, headers=headers, follow_redirects=False, timeout=60) as client:
        yield client


@pytest.fixture(autouse=True)
def _fresh_sessions() -> Iterator[None]:
    yield
    close_session()
