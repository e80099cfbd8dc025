"""Refusals that come from around the routes have the shape of the address all the same."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from llmos.app.asgi import create_app
from llmos.infra.runtime import Runtime
from llmos.protocols.openai.addresses import inference_face


@pytest.mark.parametrize(
    ("path", "face"),
    [
        ("/v1/chat/completions", "openai"),
        ("/v1/anything", "openai"),
        ("/v1/telemetry", None),
        ("/models/ada/tiny/v1/embeddings", "openai"),
        ("/hf-inference/models/ada/tiny/v1/chat/completions", "openai"),
        ("/models/ada/tiny", "inference"),
        ("/models/ada/tiny/pipeline/fill-mask", "inference"),
        ("/models", None),
        ("/models/ada", None),
        ("/ada/models/v1/x", None),
        ("/api/models/ada/tiny", None),
    ],
)
def test_the_address_decides(path: str, face: str | None) -> None:
    assert inference_face(path) == face


def test_a_limit_says_what_is_left_and_when_to_come_back(rt: Runtime) -> None:
    rt.settings.rate_limits, rt.settings.rate_api = True, 1
    with TestClient(create_app(runtime=rt)) as client:
        body = {"model": "ada/none", "prompt": "x"}
        first, second = (client.post("/v1/completions", json=body) for _ in range(2))
        other = client.post("/models/ada/none", json={"inputs": "x"})
    assert first.status_code == 404
    assert first.json()["error"]["code"] == "model_not_found"
    assert first.headers["x-ratelimit-limit-requests"] == "1"
    assert first.headers["x-ratelimit-remaining-requests"] == "0"
    assert second.status_code == 429
    assert second.json()["error"]["code"] == "rate_limit_exceeded"
    assert second.json()["error"]["type"] == "rate_limit_error"
    assert int(second.headers["retry-after"]) > 0
    assert second.headers["x-ratelimit-reset-requests"].endswith("s")
    assert (other.status_code, other.json()["error_type"]) == (429, "overloaded")


def test_nothing_is_read_of_a_stranger(app_client: TestClient, tokens: dict[str, str]) -> None:
    wrong = app_client.post(
        "/v1/chat/completions", content=b"{" * 100, headers={"Authorization": "Bearer no"}
    )
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "invalid_api_key")
    key = {"Authorization": f"Bearer {tokens['grace']}"}
    broken = app_client.post("/v1/chat/completions", content=b"{" * 100, headers=key)
    assert (broken.status_code, broken.json()["error"]["code"]) == (400, "invalid_json")
    ended = app_client.get("/models/ada/none/health", headers=key)
    assert ended.status_code == 404
