"""The device sign-in as its RFC 8628 describes it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from kit.browser import Browser
from llmos.core import clock
from llmos.features.accounts.models import User
from llmos.features.auth.device import REFRESH_GRACE
from llmos.features.auth.models import AccessToken, DeviceGrant
from llmos.infra.runtime import Runtime

CLIENT = "26be6b09-0000-0000-0000-000000000000"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


def start(client: TestClient) -> dict[str, str]:
    answer = client.post("/oauth/device", data={"client_id": CLIENT})
    assert answer.headers["cache-control"] == "no-store"
    found: dict[str, str] = answer.json()
    return found


def poll(client: TestClient, code: str, client_id: str = CLIENT) -> dict[str, str]:
    data = {"grant_type": DEVICE, "device_code": code, "client_id": client_id}
    found: dict[str, str] = client.post("/oauth/token", data=data).json()
    return found


def refresh(client: TestClient, token: str) -> dict[str, str]:
    data = {"grant_type": "refresh_token", "refresh_token": token, "client_id": CLIENT}
    found: dict[str, str] = client.post("/oauth/token", data=data).json()
    return found


def works(client: TestClient, token: str) -> bool:
    return client.get("/api/whoami-v2", headers={"authorization": f"Bearer {token}"}).status_code == 200


def test_the_whole_way(ada: Browser, app_client: TestClient) -> None:
    begun = start(app_client)
    assert begun["verification_uri_complete"].endswith(f"/device?user_code={begun['user_code']}")
    assert poll(app_client, begun["device_code"])["error"] == "authorization_pending"
    assert poll(app_client, begun["device_code"])["error"] == "slow_down"
    shown = ada.get(f"/device?user_code={begun['user_code'].lower().replace('-', ' ')}")
    assert begun["user_code"] in shown.text
    done = ada.post("/device", user_code=begun["user_code"], decision="approve")
    assert done.headers["location"] == "/settings/tokens"
    tokens = poll(app_client, begun["device_code"])
    assert tokens["token_type"] == "bearer"
    assert works(app_client, tokens["access_token"])
    assert "oauth-hf-" in ada.get("/settings/tokens").text
    assert poll(app_client, begun["device_code"])["error"] == "invalid_grant"


def test_refusing(ada: Browser, app_client: TestClient) -> None:
    begun = start(app_client)
    ada.post("/device", user_code=begun["user_code"], decision="deny")
    assert poll(app_client, begun["device_code"])["error"] == "access_denied"


def test_expiry(rt: Runtime, ada: Browser, app_client: TestClient) -> None:
    begun = start(app_client)
    with rt.database.writing() as db:
        db.query(DeviceGrant).update({"expires_at": clock.now()})
    assert poll(app_client, begun["device_code"])["error"] == "expired_token"
    late = ada.post("/device", user_code=begun["user_code"], decision="approve")
    assert (late.status_code, "out of date" in late.text) == (404, True)


def test_visitors_and_other_clients_get_nothing(app_client: TestClient) -> None:
    begun = start(app_client)
    assert poll(app_client, begun["device_code"], "another")["error"] == "invalid_grant"
    assert poll(app_client, "made-up")["error"] == "invalid_grant"
    data = {"user_code": begun["user_code"], "decision": "approve"}
    assert app_client.post("/device", data=data).status_code in (401, 403)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({}, "unsupported_grant_type"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": DEVICE}, "invalid_grant"),
        ({"grant_type": "refresh_token"}, "invalid_grant"),
        ({"grant_type": "\0"}, "invalid_request"),
    ],
)
def test_malformed_requests_get_their_code(app_client: TestClient, data: dict[str, str], error: str) -> None:
    answer = app_client.post("/oauth/token", data=data)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


@pytest.mark.parametrize("client_id", ["", "x" * 101, "a b", "<script>"])
def test_odd_client_ids(app_client: TestClient, client_id: str) -> None:
    assert app_client.post("/oauth/device", data={"client_id": client_id}).status_code == 400


@pytest.fixture
def issued(ada: Browser, app_client: TestClient) -> dict[str, str]:
    begun = start(app_client)
    ada.post("/device", user_code=begun["user_code"], decision="approve")
    return poll(app_client, begun["device_code"])


def test_refreshing_replaces_the_token(rt: Runtime, app_client: TestClient, issued: dict[str, str]) -> None:
    second = refresh(app_client, issued["refresh_token"])
    assert works(app_client, second["access_token"])
    # A process that still holds the old one may go on for a moment, and refresh at the same time.
    assert works(app_client, issued["access_token"])
    third = refresh(app_client, issued["refresh_token"])
    assert works(app_client, third["access_token"])
    with rt.database.reading() as db:
        (name,) = {token.name for token in db.query(AccessToken)}
    assert name.startswith("oauth-hf-")


def test_a_late_second_use_ends_every_token(
    rt: Runtime, app_client: TestClient, issued: dict[str, str]
) -> None:
    second = refresh(app_client, issued["refresh_token"])
    with rt.database.writing() as db:
        long_ago = clock.now() - REFRESH_GRACE - timedelta(seconds=1)
        db.query(AccessToken).filter(AccessToken.refresh_used_at.is_not(None)).update(
            {"refresh_used_at": long_ago}
        )
    assert refresh(app_client, issued["refresh_token"])["error"] == "invalid_grant"
    assert not works(app_client, second["access_token"])


def test_a_disabled_person_cannot_refresh(
    rt: Runtime, app_client: TestClient, people: dict[str, User], issued: dict[str, str]
) -> None:
    with rt.database.writing() as db:
        db.get_one(User, people["ada"].id).disabled_at = clock.now()
    assert refresh(app_client, issued["refresh_token"])["error"] == "invalid_grant"


def test_discovery(app_client: TestClient, issued: dict[str, str]) -> None:
    found = app_client.get("/.well-known/openid-configuration").json()
    assert found["device_authorization_endpoint"] == "http://testserver/oauth/device"
    headers = {"authorization": f"Bearer {issued['access_token']}"}
    person = app_client.get("/oauth/userinfo", headers=headers).json()
    assert (person["preferred_username"], person["email"]) == ("ada", "ada@example.org")
    assert app_client.get("/oauth/userinfo").status_code == 401
