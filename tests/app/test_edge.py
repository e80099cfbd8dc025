"""The outermost layer: ids, unknown addresses, errors in every face."""

from __future__ import annotations

import urllib.request

from starlette.testclient import TestClient

from kit.server import LiveServer


def test_live_server_answers_with_a_request_id(server: LiveServer) -> None:
    with urllib.request.urlopen(f"{server.url}/-/health") as answer:
        assert answer.read() == b"ok"
        assert answer.headers["X-Request-Id"]


def test_unknown_api_address_is_a_json_404(app_client: TestClient) -> None:
    answer = app_client.get("/api/no-such-thing")
    assert answer.status_code == 404
    assert answer.json()["error"]


def test_unknown_page_is_an_html_404(app_client: TestClient) -> None:
    answer = app_client.get("/-/no-such-page", headers={"accept": "text/html"})
    assert answer.status_code == 404
    assert "text/html" in answer.headers["content-type"]


def test_wrong_method_names_the_right_ones(app_client: TestClient) -> None:
    answer = app_client.post("/-/health")
    assert answer.status_code == 405
    assert "GET" in answer.headers["allow"]


def test_an_address_with_a_nul_is_refused_or_not_found(app_client: TestClient) -> None:
    for path in ("/jobs/ada/%00/log", "/jobs/ada/%00", "/api/jobs/ada/%00", "/ada/%00", "/%00"):
        assert app_client.get(path).status_code in (400, 401, 404), path
