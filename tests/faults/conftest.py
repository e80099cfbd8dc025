"""A small world under attack: public, private and moved repositories, and a client for raw bytes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from faults.live import Visitor
from faults.rawclient import RawClient
from kit.databases import Databases
from kit.people import add_people
from kit.server import LiveServer
from llmos.app.asgi import create_app
from llmos.infra.runtime import open_runtime
from llmos.infra.settings import Settings


@dataclass(frozen=True, slots=True)
class World:
    ask: RawClient
    tokens: dict[str, str]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, _databases: Databases) -> Iterator[World]:
    """`ada/tiny-llm`, private `ada/notes`, the dataset `ada/words` and an old name, once for a module."""
    home = tmp_path_factory.mktemp("faults") / "home"
    rt = open_runtime(Settings(home=home, rate_limits=False, **_databases.fill(home)))
    tokens = add_people(rt)
    with asyncio.Runner() as runner:
        client = RawClient(create_app(runtime=rt), runner)
        make_world(client, tokens["ada"])
        yield World(client, tokens)
    rt.close()


@pytest.fixture
def ask(world: World) -> RawClient:
    return world.ask


@pytest.fixture
def tokens(world: World) -> dict[str, str]:
    return world.tokens


def make_world(ask: RawClient, token: str) -> None:
    for body in (
        {"name": "tiny-llm"},
        {"name": "notes", "private": True},
        {"name": "old-name"},
        {"name": "words", "type": "dataset"},
    ):
        assert ask("POST", "/api/repos/create", body=json.dumps(body).encode(), token=token).status == 200
    moved = {"fromRepo": "ada/old-name", "toRepo": "ada/new-name", "type": "model"}
    assert ask("POST", "/api/repos/move", body=json.dumps(moved).encode(), token=token).status == 200
    for name in ("models/ada/tiny-llm", "models/ada/notes", "datasets/ada/words"):
        files = {
            "README.md": "---\nlicense: mit\n---\n# Tiny\n",
            "data/a.txt": "one\n",
            "data/b.txt": "two\n",
        }
        answer = ask("POST", f"/api/{name}/commit/main", body=commit_body(files), token=token)
        assert answer.status == 200, answer.text


def commit_body(files: dict[str, str], summary: str = "Write") -> bytes:
    lines = [{"key": "header", "value": {"summary": summary, "description": ""}}]
    lines += [{"key": "file", "value": {"path": path, "content": text}} for path, text in files.items()]
    return b"\n".join(json.dumps(line).encode() for line in lines)


@pytest.fixture
def ada(server: LiveServer) -> Iterator[Visitor]:
    """Ada as a client of the live server."""
    visitor = Visitor(server)
    yield visitor
    visitor.http.close()
