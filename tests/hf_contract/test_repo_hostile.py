"""No input of a client makes these routes fail: every answer is a typed refusal or a success."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from starlette.testclient import TestClient

ROUTES: list[tuple[str, str, tuple[str, ...]]] = [
    (
        "POST",
        "/api/repos/create",
        ("name", "organization", "type", "visibility", "private", "sdk", "license", "files"),
    ),
    ("DELETE", "/api/repos/delete", ("name", "organization", "type")),
    ("POST", "/api/repos/move", ("fromRepo", "toRepo", "type")),
    ("PUT", "/api/models/ada/tiny-llm/settings", ("gated", "visibility", "private")),
    ("POST", "/api/models/ada/tiny-llm/duplicate", ("repository", "visibility", "private")),
    ("POST", "/api/models/ada/tiny-llm/lfs-files/batch", ("deletions",)),
    ("POST", "/api/models/ada/tiny-llm/lfs-files/duplicate", ("target", "files")),
    (
        "POST",
        "/api/models/ada/tiny-llm/user-access-request/handle",
        ("user", "requestId", "status", "rejectionReason"),
    ),
    ("POST", "/api/models/ada/tiny-llm/user-access-request/grant", ("user",)),
    ("POST", "/ada/tiny-llm/ask-access", ("fields", "x")),
    ("POST", "/api/validate-yaml", ("content", "repoType")),
]
VALUES: list[Any] = [
    None, True, False, 0, -1, 2**63, 2**200, 1.5, "", "x", "\0", "a\0b", "ada/tiny-llm", "ada/", "/", "a/b/c",
    "..", "ü/中", "x" * 5000, "model", "accepted", "auto", [], ["x"], [None], [{"path": "a"}],
    {}, {"sha": ["\0"]}, {"sha": ["a" * 64], "rewriteHistory": 1}, {"type": "model", "name": "\0/\0"},
    {"type": [], "name": {}}, [{"path": "a/../b", "content": "x"}], [{"path": ".git/config", "content": ""}],
    [{"path": "README.md", "content": "---\na: [\n---\n"}], [{"sha256": None}], [{"sha256": "\0"}],
    [{"path": "a", "content": ""}, {"path": "a/b", "content": ""}],
    "---\n" + "a: &a [*a]\n---", "---\n- \udcff\n",
]  # fmt: skip


@pytest.fixture
def client(app_client: TestClient, tokens: dict[str, str]) -> TestClient:
    app_client.headers["Authorization"] = f"Bearer {tokens['ada']}"
    made = app_client.post("/api/repos/create", json={"name": "tiny-llm"})
    assert made.status_code == 200
    app_client.put("/api/models/ada/tiny-llm/settings", json={"gated": "manual"})
    return app_client


@pytest.mark.parametrize(("method", "path", "fields"), ROUTES, ids=[route[1] for route in ROUTES])
def test_hostile_bodies_are_refused_in_kind(
    client: TestClient, method: str, path: str, fields: tuple[str, ...]
) -> None:
    dice = random.Random(path)
    bodies = [{field: value} for field, value in itertools.product(fields, VALUES)]
    bodies += [{field: dice.choice(VALUES) for field in fields} for _ in range(15)]
    for body in bodies:
        if path.endswith("/delete") and body.get("name") in ("tiny-llm", "ada/tiny-llm"):
            continue
        answer = client.request(method, path, content=_dump(body))
        assert answer.status_code < 500, (body, answer.text)
        if answer.status_code >= 400:
            assert answer.json().get("error") or answer.json().get("errors")


def _dump(body: Any) -> bytes:
    import json

    return json.dumps(body).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"null", b'"x"', b"{", b"\xff\xfe", b"[" * 100_000, b'{"name": NaN}']
)
def test_bodies_that_are_no_objects(client: TestClient, data: bytes) -> None:
    for method, path, _fields in ROUTES:
        assert client.request(method, path, content=data).status_code < 500


@pytest.mark.parametrize(
    "path",
    [
        "/api/models/ada/tiny-llm/revision/%00", "/api/models/ada/tiny-llm/revision/..",
        "/api/models/ada/tiny-llm/revision/main%0a", "/api/models/ada/tiny-llm/revision/%F0%9F",
        "/api/models/%F0%9F/%FF", "/api/models/ada/tiny-llm?expand=%00", "/api/models?cursor=%00",
        "/api/models/ada/tiny-llm/likers?cursor=W10", "/api/models/ada/tiny-llm/likers?limit=99999999999999",
        "/api/models/ada/tiny-llm/lfs-files?cursor=WzEsMl0", "/api/settings/repositories?cursor=WyJhIiwiYiJd",
        "/api/models/ada/tiny-llm/user-access-request/%00", "/api/organizations/%00/settings/repositories",
        "/api/models/ada/tiny-llm/safetensors-metadata/%00",
        "/api/models/ada/tiny-llm/safetensors-metadata/../x",
        "/api/models/ada/tiny-llm/safetensors-metadata/model.safetensors.index.json",
        "/api/datasets/ada/%00/leaderboard", "/api/models?limit=%D9%A1",
        "/api/spaces/semantic-search?q=%F0%9F",
        "/api/models?sort=createdAt&cursor=WyIyMDI2LTAxLTAxVDAwOjAwOjAwIiwxXQ",
        "/api/models?sort=likes&cursor=WzFlNDAwLDFd", "/api/models?sort=id&cursor=WzEuNSwxXQ",
    ],
)  # fmt: skip
def test_hostile_addresses_are_refused_in_kind(client: TestClient, path: str) -> None:
    assert client.get(path).status_code < 500
