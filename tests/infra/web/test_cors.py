"""Which answers scripts of other sites may read."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from kit.people import add_people
from llmos.app.asgi import create_app
from llmos.app.schema import ensure_schema
from llmos.infra.runtime import Runtime, open_runtime
from llmos.infra.settings import Settings

ELSEWHERE = "https://elsewhere.example"
PREFLIGHT = {"Origin": ELSEWHERE, "Access-Control-Request-Method": "POST"}
ALLOWED = "access-control-allow-origin"


@pytest.mark.parametrize(
    "path",
    [
        "/cas/v1/shards",
        "/api/models/ada/x",
        "/ada/x/resolve/main/a",
        "/-/lfs/upload/1",
        "/v1/telemetry",
        "/models/a/b",
    ],
)
def test_preflight(app_client: TestClient, path: str) -> None:
    asked = {**PREFLIGHT, "Access-Control-Request-Headers": "authorization,content-type"}
    answer = app_client.options(path, headers=asked)
    assert answer.status_code == 204
    assert answer.headers[ALLOWED] == "*"
    assert answer.headers["access-control-allow-headers"] == "authorization,content-type"
    assert "PUT" in answer.headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in answer.headers


def test_preflight_repeats_no_junk(app_client: TestClient) -> None:
    asked = {**PREFLIGHT, "Access-Control-Request-Headers": "a\u00e9;b"}
    answer = app_client.options("/cas/v1/shards", headers={k: v.encode("latin-1") for k, v in asked.items()})
    assert "access-control-allow-headers" not in answer.headers


def test_pages_are_closed_and_refusals_can_be_read(app_client: TestClient, tokens: dict[str, str]) -> None:
    headers = {"Origin": ELSEWHERE, "Authorization": f"Bearer {tokens['ada']}"}
    assert ALLOWED not in app_client.get("/login", headers=headers).headers
    assert ALLOWED not in app_client.options("/login", headers=PREFLIGHT).headers
    missing = app_client.get("/api/models/ada/none", headers=headers)
    assert (missing.status_code, missing.headers[ALLOWED]) == (404, "*")
    assert "X-Error-Code" in missing.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in missing.headers
    assert ALLOWED not in app_client.get("/api/models", headers={"Origin": ELSEWHERE}).headers
    assert ALLOWED not in app_client.get("/api/models").headers
    file = app_client.get("/ada/none/resolve/main/x", headers={"Origin": ELSEWHERE})
    assert file.headers.get_list(ALLOWED) == ["*"]


@pytest.mark.parametrize(
    ("origins", "expected"),
    [("*", "*"), (f"https://a.example, {ELSEWHERE}", "*"), ("https://a.example", None)],
)
def test_named_origins_read_what_is_public(tmp_path: Path, origins: str, expected: str | None) -> None:
    rt: Runtime = open_runtime(Settings(home=tmp_path / "home", rate_limits=False, cors_origins=origins))
    ensure_schema(rt)
    add_people(rt)
    with TestClient(create_app(runtime=rt)) as client:
        answer = client.get("/api/models", headers={"Origin": ELSEWHERE})
    rt.close()
    assert answer.headers.get(ALLOWED) == expected
