"""Rate limits: what is counted for whom, and the headers clients read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from starlette.testclient import TestClient

from llmos.app.asgi import create_app
from llmos.infra.runtime import Runtime
from llmos.infra.security.ratelimit import MAX_KEYS, WINDOW_S, Window, classify


@pytest.fixture
def limited(rt: Runtime) -> Iterator[Callable[..., TestClient]]:
    """Makes clients of an instance with the given limits."""
    clients: list[TestClient] = []

    def make(host: str = "testclient", **limits: int) -> TestClient:
        for name, value in {"rate_limits": True, **limits}.items():
            setattr(rt.settings, name, value)
        client = TestClient(create_app(runtime=rt), client=(host, 1), follow_redirects=False)
        client.__enter__()
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/api/models", "api"),
        ("POST", "/oauth/token", "api"),
        ("POST", "/oauth/device", "signin"),
        ("GET", "/ada/tiny/resolve/main/a.bin", "resolve"),
        ("POST", "/ada/tiny.git/git-upload-pack", "resolve"),
        ("GET", "/login", "pages"),
        ("POST", "/login", "signin"),
        ("POST", "/-/reset/abc", "signin"),
        ("GET", "/-/health", None),
        ("GET", "/-/static/app.css", None),
    ],
)
def test_classes(method: str, path: str, kind: str | None) -> None:
    assert classify(method, path) == kind


def test_what_is_left_is_said_and_then_refused(limited: Callable[..., TestClient]) -> None:
    client = limited(rate_api=2)
    answers = [client.get("/.well-known/openid-configuration") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["ratelimit"].startswith('"api";r=1;t=')
    assert answers[0].headers["ratelimit-policy"] == '"fixed window";"api";q=2;w=300'
    refused = answers[2]
    assert refused.headers["ratelimit"].startswith('"api";r=0;t=')
    assert 0 < int(refused.headers["retry-after"]) <= WINDOW_S
    assert "Too many requests" in refused.json()["error"]
    assert client.get("/-/health").status_code == 200
    assert client.get("/login").status_code == 200


def test_pages_are_refused_as_pages(limited: Callable[..., TestClient]) -> None:
    client = limited(rate_pages=1)
    client.get("/login")
    page = client.get("/login", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["content-type"]) == (429, "text/html; charset=utf-8")


def test_a_good_token_has_its_own_allowance(
    limited: Callable[..., TestClient], tokens: dict[str, str]
) -> None:
    client = limited(rate_api=2)

    def whoami(token: str) -> int:
        return client.get("/api/whoami-v2", headers={"authorization": f"Bearer {token}"}).status_code

    # The first request of a token counts for the address: nobody knows yet whether it is good.
    assert [whoami(tokens["ada"]) for _ in range(4)] == [200, 200, 200, 429]
    assert whoami(tokens["grace"]) == 200


def test_invented_tokens_share_the_allowance_of_their_address(limited: Callable[..., TestClient]) -> None:
    client = limited(rate_api=3)
    statuses = [
        client.get("/api/whoami-v2", headers={"authorization": f"Bearer hf_{number}"}).status_code
        for number in range(5)
    ]
    assert statuses == [401, 401, 401, 429, 429]


def test_addresses_are_told_apart_behind_a_trusted_proxy_only(limited: Callable[..., TestClient]) -> None:
    path = "/.well-known/openid-configuration"
    proxied = limited("127.0.0.1", rate_api=1)
    assert [
        proxied.get(path, headers={"x-forwarded-for": address}).status_code
        for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2", "6.6.6.6, 192.0.2.2")
    ] == [200, 429, 200, 429]
    direct = limited("192.0.2.9", rate_api=1)
    assert [
        direct.get(path, headers={"x-forwarded-for": address}).status_code
        for address in ("192.0.2.1", "192.0.2.3")
    ] == [200, 429]


def test_windows_turn_and_stay_small() -> None:
    window = Window("api", 1)
    assert window.take("a", 0.0) == (0, 300)
    assert window.take("a", 299.0)[0] < 0
    assert window.take("a", 300.0) == (0, 300)
    for number in range(MAX_KEYS + 10):
        window.take(number, 301.0)
    assert len(window._counts) == MAX_KEYS


def test_counting_costs_little() -> None:
    window = Window("api", 10**9)
    started_at = time.perf_counter()
    for number in range(10_000):
        window.take(number % 100, 1.0)
    assert (time.perf_counter() - started_at) / 10_000 < 20e-6
