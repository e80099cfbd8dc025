"""A small world under attack: public, private and moved repositories, and a client for raw bytes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from faults.live import Visitor
from faults.rawclient import RawClient
from kit.databases import Databases
from kit.people import add_people
from kit.server import LiveServer
from llmos.app.asgi import create_app
from llmos.infra.runtime import Runtime, open_runtime
from llmos.infra.settings import Settings


@dataclass(frozen=True, slots=True)
class World:
    """`usual`: for the placeholders of addresses, values that lead to something."""

    ask: RawClient
    tokens: dict[str, str]
    rt: Runtime
    usual: dict[str, list[str]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, _databases: Databases) -> Iterator[World]:
    """`ada/tiny-llm`, private `ada/notes`, the dataset `ada/words` and an old name, once for a module."""
    home = tmp_path_factory.mktemp("faults") / "home"
    rt = open_runtime(Settings(home=home, rate_limits=False, **_databases.fill(home)))
    tokens = add_people(rt)
    with asyncio.Runner() as runner:
        client = RawClient(create_app(runtime=rt), runner)
        make_world(client, tokens["ada"])
        usual = make_community(client, tokens)
        yield World(client, tokens, rt, usual)
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


def make_community(ask: RawClient, tokens: dict[str, str]) -> dict[str, list[str]]:
    """A discussion and a pull request in both repositories, a collection, a webhook, a topic."""

    def post(path: str, body: object, who: str = "ada") -> Any:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = ask("POST", path, body=raw, token=tokens[who])
        assert answer.status == 200, answer.text
        return answer.json()

    comments = []
    for name in ("tiny-llm", "notes"):
        base = f"/api/models/ada/{name}"
        post(f"{base}/discussions", {"title": "Loss is NaN", "description": "After 100 steps."})
        made = post(f"{base}/discussions/1/comment", {"comment": "Try a lower rate."})
        comments.append(made["newMessage"]["id"])
        post(f"{base}/commit/main?create_pr=1", commit_body({"README.md": "# Better\n"}, "Say more"))
    collection = post("/api/collections", {"title": "Small ones", "namespace": "ada"})
    item = {"item": {"type": "model", "id": "ada/tiny-llm"}}
    filled = post(f"/api/collections/{collection['slug']}/items", item)
    post("/api/buckets/ada/tiny-llm", {})
    hook = {"url": "https://example.org/x", "watched": [{"type": "user", "name": "ada"}], "domains": ["repo"]}
    webhook = post("/api/settings/webhooks", hook)["webhook"]
    words = b"category=help&title=Which+rate%3F&text=I+tried+two."
    kind = {"content-type": "application/x-www-form-urlencoded", "origin": "http://testserver"}
    opened = ask("POST", "/forum/new", headers=kind, body=words, token=tokens["grace"])
    assert opened.status == 303, opened.text
    topic = opened.headers["location"].split("/")
    return {
        "plural": ["models", "models", "datasets", "spaces"],
        "namespace": ["ada"] * 5,
        "ns": ["ada"] * 5,
        "name": ["tiny-llm", "tiny-llm", "tiny-llm", "notes", "old-name", "words", "ada", "lab"],
        "rev": ["main"] * 3,
        "org": ["lab"],
        "user": ["ada"],
        "path": ["data", "README.md"],
        "num": ["1", "2", "1", "2", topic[2], topic[2], "99"],
        "comment_id": comments,
        "comment": comments,
        "slug": [collection["slug"].split("/")[1], topic[3], "help"],
        "item": [filled["items"][0]["_id"]],
        "webhook_id": [webhook["id"]],
        "kind": ["thread", "repo", "models"],
        "target_id": ["1", "2"],
        "notification_id": ["1"],
        "case_id": ["1"],
        "appeal_id": ["1"],
    }


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
