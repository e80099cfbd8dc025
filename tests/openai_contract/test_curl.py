"""What `curl` sees: statuses, headers and the bytes of a stream."""

from __future__ import annotations

import json
import socket
import subprocess
from typing import Any

import pytest

from kit.server import LiveServer
from llmos.protocols.openai.fields import MAX_BODY_BYTES


def curl(server: LiveServer, path: str, body: Any = None, *options: str, person: str | None = "ada") -> Any:
    """Status, headers (in lower case) and text of an answer."""
    key = ["-H", f"Authorization: Bearer {server.tokens[person]}"] if person else []
    sent = [] if body is None else ["-d", body if isinstance(body, str) else json.dumps(body)]
    command = ["curl", "-sS", "-N", "-i", "--max-time", "60", *key, "-H", "Content-Type: application/json"]
    done = subprocess.run(
        [*command, *sent, *options, server.url + path], capture_output=True, text=True, check=True
    )
    head, _, text = done.stdout.replace("\r\n", "\n").partition("\n\n")
    status, *lines = head.splitlines()
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(status.split()[1]), headers, text


def test_the_bytes_of_a_stream(engine_runner: LiveServer, chat_model: str) -> None:
    body = {
        "model": chat_model,
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 3,
        "stream": True,
    }
    # Begun by now: a stream that waits for its model long begins before it knows what will answer.
    assert curl(engine_runner, "/v1/chat/completions", body | {"stream": False})[0] == 200
    status, headers, text = curl(engine_runner, "/v1/chat/completions", body, "-H", "X-Request-Id: mine-1")
    assert status == 200
    assert headers["content-type"].startswith("text/event-stream")
    assert headers["x-request-id"] == "mine-1"
    assert len(headers["x-llmos-revision"]) == 40
    events = [part for part in text.split("\n\n") if part]
    assert events[-1] == "data: [DONE]"
    first = json.loads(events[0].removeprefix("data: "))
    assert first["object"] == "chat.completion.chunk"
    assert first["choices"][0]["delta"]["role"] == "assistant"
    path = f"/models/{chat_model}/v1/chat/completions"
    status, _, text = curl(engine_runner, path, body | {"stream": False, "model": "whatever"})
    assert (status, json.loads(text)["object"]) == (200, "chat.completion")


def test_refusals_have_one_shape(server: LiveServer) -> None:
    deep, flat = "[" * 5000 + "]" * 5000, "[" * 200 + "]" * 200
    for path, body, wanted, code in (
        ("/v1/chat/completions", '{"model": ', 400, "invalid_json"),
        ("/v1/chat/completions", '{"model": "m", "temperature": NaN}', 400, "invalid_json"),
        ("/v1/chat/completions", "[]", 400, "invalid_json"),
        ("/v1/completions", f'{{"model": "m", "prompt": {deep}}}', 400, "invalid_json"),
        ("/v1/completions", f'{{"model": "m", "prompt": "x", "x": {flat}}}', 400, None),
        ("/v1/completions", '{"model": "m", "prompt": "\\ud800"}', 400, "invalid_json"),
        ("/v1/chat/completions", {"messages": []}, 400, "missing_required_parameter"),
        ("/v1/embeddings", {"model": "no model", "input": "x"}, 404, "model_not_found"),
        ("/v1/audio/speech", {"model": "m"}, 404, "not_found"),
    ):
        status, headers, text = curl(server, path, body)
        error = json.loads(text)["error"]
        assert (status, error["code"]) == (wanted, code), (path, error)
        assert set(error) == {"message", "type", "param", "code"}
        assert headers["x-request-id"]
    status, _, text = curl(server, "/v1/chat/completions", None)
    assert (status, json.loads(text)["error"]["code"]) == (405, "method_not_allowed")
    status, headers, text = curl(
        server, "/v1/models", None, "-H", "Authorization: Bearer nonsense", person=None
    )
    assert (status, headers["www-authenticate"]) == (401, "Bearer")
    assert json.loads(text)["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/models/ada/tiny/v1/completions", "/models/ada/tiny"]
)
def test_too_long_a_body_is_refused_before_it_is_read(server: LiveServer, path: str) -> None:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {server.tokens['ada']}\r\n"
        f"Content-Length: {MAX_BODY_BYTES + 1}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head.encode())
        answer = connection.recv(65536).decode()
    wanted = "404" if path == "/models/ada/tiny" else "413"  # what names a model looks for it first
    assert answer.split()[1] == wanted, answer


def test_a_cookie_is_no_key_from_elsewhere(server: LiveServer) -> None:
    body = {"model": "ada/tiny", "prompt": "x"}
    foreign = ("-H", "Origin: http://evil.example", "-H", "Cookie: llmos_session=nonsense")
    status, headers, _ = curl(server, "/v1/completions", body, *foreign, person=None)
    assert status in (401, 404)
    assert "access-control-allow-origin" not in headers
    status, headers, _ = curl(server, "/v1/models", None, "-H", "Origin: http://page.example")
    assert (status, headers["access-control-allow-origin"]) == (200, "*")
