"""Apps that people let in: RFC 6749 with PKCE, from registration to revocation."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from starlette.testclient import TestClient

from kit.browser import ORIGIN, Browser
from llmos.core import clock
from llmos.features.auth.models import AccessToken, OAuthCode
from llmos.infra.runtime import Runtime

PAGE = "/settings/applications"
BACK = "https://app.example/back?a=1"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


def register(person: Browser, kind: str = "public", uris: str = BACK, **fields: str) -> tuple[str, str]:
    """Client id and secret (empty for a public app)."""
    page = person.post(PAGE, PAGE, name="Arena", redirect_uris=uris, kind=kind, **fields)
    assert page.status_code == 200, page.text
    shown = re.findall(r'<input[^>]* value="([^"]+)"[^>]*readonly|<code[^>]*>([^<]+)</code>', page.text)
    values = [first or second for first, second in shown]
    return values[0], values[1] if kind == "confidential" else ""


def question(app: str, **changes: str) -> dict[str, str]:
    asked = {
        "client_id": app,
        "redirect_uri": BACK,
        "response_type": "code",
        "scope": "openid profile",
        "state": "st=1&x",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **changes,
    }
    return {name: value for name, value in asked.items() if value}


def ask(person: Browser, **asked: str) -> httpx.Response:
    return person.client.get("/oauth/authorize", params=asked, headers={"accept": "text/html"})


def allow(person: Browser, asked: dict[str, str], decision: str = "allow") -> dict[str, str]:
    """What the app is told when the person has answered."""
    fields = {"csrf_token": person.token("/settings/profile"), "decision": decision, **asked}
    answer = person.client.post("/oauth/authorize", data=fields, headers={"origin": ORIGIN})
    assert answer.status_code == 303, answer.text
    return told(answer)


def told(answer: httpx.Response) -> dict[str, str]:
    location = answer.headers["location"]
    assert location.startswith(BACK), location
    assert answer.headers["cache-control"] == "no-store"
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


def trade(client: TestClient, app: str, code: str, **changes: str) -> httpx.Response:
    fields = {
        "grant_type": "authorization_code",
        "client_id": app,
        "code": code,
        "redirect_uri": BACK,
        "code_verifier": VERIFIER,
        **changes,
    }
    return client.post("/oauth/token", data={name: value for name, value in fields.items() if value})


def let_in(person: Browser, client: TestClient, app: str, **changes: str) -> dict[str, Any]:
    found: dict[str, Any] = trade(client, app, allow(person, question(app, **changes))["code"]).json()
    return found


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_a_public_app_from_question_to_user_information(ada: Browser, app_client: TestClient) -> None:
    client_id, _ = register(ada)
    page = ask(ada, **question(client_id, scope="openid profile read-repos"))
    assert page.status_code == 200
    assert "Arena" in page.text
    assert "Read all repositories you can see" in page.text
    assert "form-action 'self' https://app.example;" in page.headers["content-security-policy"]
    zh = ada.client.get("/oauth/authorize", params=question(client_id), headers={"accept-language": "zh"})
    assert "查看您的姓名、头像、网站和组织" in zh.text
    answer = allow(ada, question(client_id))
    assert (answer["state"], answer["a"]) == ("st=1&x", "1")
    tokens = trade(app_client, client_id, answer["code"])
    assert tokens.headers["cache-control"] == "no-store"
    assert tokens.headers["access-control-allow-origin"] == "*"
    found = tokens.json()
    assert (found["token_type"], found["scope"], found["expires_in"]) == ("bearer", "openid profile", 28800)
    info = app_client.get("/oauth/userinfo", headers=bearer(found["access_token"]))
    assert info.headers["access-control-allow-origin"] == "*"
    assert info.json()["preferred_username"] == "ada"
    assert "email" not in info.json()
    assert app_client.get("/api/whoami-v2", headers=bearer(found["access_token"])).json()["email"] is None
    assert app_client.options("/oauth/userinfo").headers["access-control-allow-headers"] == "authorization"


def test_scopes_bound_what_the_app_may_do(ada: Browser, app_client: TestClient) -> None:
    client_id, _ = register(ada)
    tiny = {"name": "tiny", "private": True}
    narrow = bearer(let_in(ada, app_client, client_id, scope="openid email")["access_token"])
    assert app_client.get("/oauth/userinfo", headers=narrow).json().keys() == {
        "sub",
        "email",
        "email_verified",
    }
    assert app_client.post("/api/repos/create", json=tiny, headers=narrow).status_code == 403
    own = bearer(let_in(ada, app_client, client_id, scope="contribute-repos")["access_token"])
    assert app_client.post("/api/repos/create", json=tiny, headers=own).status_code == 200
    settings = "/api/models/ada/tiny/settings"
    assert app_client.put(settings, json={"private": True}, headers=own).status_code == 200
    reader = bearer(let_in(ada, app_client, client_id, scope="read-repos")["access_token"])
    assert app_client.get("/api/models/ada/tiny", headers=reader).status_code == 200
    # Also what an app created before is its own again after a new sign-in.
    again = bearer(let_in(ada, app_client, client_id, scope="contribute-repos")["access_token"])
    assert app_client.get("/api/models/ada/tiny", headers=again).status_code == 200
    writer = bearer(
        let_in(ada, app_client, client_id, scope="write-repos", code_challenge_method="S256")["access_token"]
    )
    assert app_client.post("/api/repos/create", json={"name": "two"}, headers=writer).status_code == 200
    for token in (narrow, writer):
        refused = app_client.post("/settings/tokens", data={"name": "x", "role": "write"}, headers=token)
        assert refused.status_code == 403


def test_nobody_is_sent_to_an_address_that_is_not_registered(ada: Browser) -> None:
    client_id, _ = register(ada)
    for changes in (
        {"client_id": "made-up"},
        {"redirect_uri": "https://evil.example/back"},
        {"redirect_uri": BACK + "&b=2"},
        {"redirect_uri": "https://app.example/back"},
    ):
        for answer in (
            ask(ada, **question(client_id, **changes)),
            ask(ada, **question(client_id, response_type="token", **changes)),
        ):
            assert (answer.status_code, "location" in answer.headers) == (400, False)
            assert answer.headers["content-type"].startswith("text/html")
    zh = ada.client.get(
        "/oauth/authorize",
        params=question("made-up"),
        headers={"accept": "text/html", "accept-language": "zh"},
    )
    assert "client_id：这里没有登记过这个编号的应用。" in zh.text


def test_the_app_is_told_what_is_wrong(ada: Browser) -> None:
    client_id, _ = register(ada)
    for changes, error in (
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": ""}, "invalid_request"),
        ({"scope": "openid everything"}, "invalid_scope"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"prompt": "none"}, "consent_required"),
    ):
        answer = ask(ada, **question(client_id, **changes))
        assert answer.status_code == 303
        assert (told(answer)["error"], told(answer)["state"]) == (error, "st=1&x")


def test_refusing_and_visitors(ada: Browser, browser: Browser) -> None:
    client_id, _ = register(ada)
    assert allow(ada, question(client_id), "deny")["error"] == "access_denied"
    login = ask(browser, **question(client_id))
    assert login.status_code == 303
    assert login.headers["location"].startswith("/login?next=/oauth/authorize%3Fclient_id")
    assert told(ask(browser, **question(client_id, prompt="none")))["error"] == "login_required"
    forged = ada.client.post("/oauth/authorize", data=question(client_id) | {"decision": "allow"})
    assert forged.status_code == 403


def test_a_code_is_for_one_client_one_verifier_one_address(ada: Browser, app_client: TestClient) -> None:
    client_id, _ = register(ada)
    other, _ = register(ada)
    for changes in (
        {"client_id": other},
        {"redirect_uri": "https://app.example/else"},
        {"redirect_uri": ""},
        {"code_verifier": "w" * 43},
        {"code_verifier": ""},
    ):
        code = allow(ada, question(client_id))["code"]
        answer = trade(app_client, client_id, code, **changes)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant"), changes


def test_a_code_used_twice_ends_what_came_of_it(ada: Browser, app_client: TestClient) -> None:
    client_id, _ = register(ada)
    code = allow(ada, question(client_id))["code"]
    token = trade(app_client, client_id, code).json()["access_token"]
    assert app_client.get("/oauth/userinfo", headers=bearer(token)).status_code == 200
    assert trade(app_client, client_id, code).json()["error"] == "invalid_grant"
    assert app_client.get("/oauth/userinfo", headers=bearer(token)).status_code == 401


def test_a_code_grows_old(rt: Runtime, ada: Browser, app_client: TestClient) -> None:
    client_id, _ = register(ada)
    code = allow(ada, question(client_id))["code"]
    with rt.database.writing() as db:
        db.query(OAuthCode).update({"expires_at": clock.now()})
    assert trade(app_client, client_id, code).json()["error"] == "invalid_grant"


def test_a_confidential_app_proves_itself(ada: Browser, app_client: TestClient) -> None:
    client_id, secret = register(ada, "confidential")
    plain = question(client_id, code_challenge="", code_challenge_method="")
    code = allow(ada, plain)["code"]
    for given in ({}, {"client_secret": "wrong"}):
        answer = trade(app_client, client_id, code, code_verifier="", **given)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert answer.headers["www-authenticate"].startswith("Basic")
    basic = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK}
    tokens = app_client.post("/oauth/token", data=fields, headers={"authorization": f"Basic {basic}"}).json()
    assert tokens["scope"] == "openid profile"
    # It need not ask again for what it has; a wider question is put to the person.
    assert "code" in told(ask(ada, **plain))
    assert ask(ada, **(plain | {"scope": "openid email"})).status_code == 200
    assert ask(ada, **(plain | {"prompt": "consent"})).status_code == 200
    renewal = {
        "grant_type": "refresh_token",
        "refresh_token": tokens["refresh_token"],
        "client_id": client_id,
    }
    assert app_client.post("/oauth/token", data=renewal).json()["error"] == "invalid_client"
    renewed = app_client.post("/oauth/token", data=renewal | {"client_secret": secret}).json()
    assert (renewed["scope"], renewed["expires_in"]) == ("openid profile", 28800)
    page = ada.post(PAGE + "/secret", PAGE, client_id=client_id)
    assert secret not in page.text
    late = {**renewal, "refresh_token": renewed["refresh_token"], "client_secret": secret}
    assert app_client.post("/oauth/token", data=late).status_code == 401


def test_refreshed_tokens_stay_as_narrow_as_allowed(
    rt: Runtime, ada: Browser, app_client: TestClient
) -> None:
    client_id, _ = register(ada)
    tokens = let_in(ada, app_client, client_id)
    renewal = {
        "grant_type": "refresh_token",
        "refresh_token": tokens["refresh_token"],
        "client_id": client_id,
    }
    new = app_client.post("/oauth/token", data=renewal).json()
    assert new["scope"] == "openid profile"
    assert "email" not in app_client.get("/oauth/userinfo", headers=bearer(new["access_token"])).json()
    with rt.database.writing() as db:
        assert {row.role for row in db.query(AccessToken).filter_by(client_id=client_id)} == {"fineGrained"}


def test_shutting_an_app_out(ada: Browser, app_client: TestClient) -> None:
    client_id, _ = register(ada)
    tokens = let_in(ada, app_client, client_id)
    code = allow(ada, question(client_id))["code"]
    assert "Shut out" in ada.get(PAGE).text
    assert ada.post(PAGE + "/revoke", PAGE, client_id=client_id).status_code == 303
    assert app_client.get("/oauth/userinfo", headers=bearer(tokens["access_token"])).status_code == 401
    renewal = {
        "grant_type": "refresh_token",
        "refresh_token": tokens["refresh_token"],
        "client_id": client_id,
    }
    assert app_client.post("/oauth/token", data=renewal).json()["error"] == "invalid_grant"
    assert trade(app_client, client_id, code).json()["error"] == "invalid_grant"
    assert ada.post(PAGE + "/revoke", PAGE, client_id=client_id).status_code == 404


def test_owners_change_and_delete_their_apps(
    ada: Browser, open_browser: Callable[[], Browser], app_client: TestClient
) -> None:
    grace = open_browser()
    grace.sign_in("grace")
    client_id, _ = register(ada)
    tokens = let_in(grace, app_client, client_id)
    assert grace.get(f"{PAGE}?edit={client_id}").status_code == 404
    assert grace.post(PAGE + "/delete", PAGE, client_id=client_id).status_code == 404
    fields = {"client_id": client_id, "name": "Arena 2", "redirect_uris": "http://127.0.0.1:9/cb"}
    assert ada.post(PAGE, PAGE, **fields).status_code == 303
    assert "Arena 2" in ada.get(f"{PAGE}?edit={client_id}").text
    assert ask(ada, **question(client_id)).status_code == 400
    other_port = question(client_id, redirect_uri="http://127.0.0.1:5000/cb")
    assert ask(ada, **other_port).status_code == 200  # a program may listen on any port of its machine
    assert (
        ask(ada, **(other_port | {"redirect_uri": "http://127.0.0.1.evil.example:9/cb"})).status_code == 400
    )
    assert ada.post(PAGE + "/delete", PAGE, client_id=client_id).status_code == 303
    assert app_client.get("/oauth/userinfo", headers=bearer(tokens["access_token"])).status_code == 401


def test_addresses_that_cannot_be_returned_to(ada: Browser) -> None:
    for uri in (
        "", "javascript:alert(1)", "data:text/html,x", "/back", "https://", "https://a@b/", "http://h/#x",
        "ftp://h/", "https://h/\\evil", "https://h:99999/", "https://h/ a",
    ):  # fmt: skip
        page = ada.post(PAGE, PAGE, name="Arena", redirect_uris=uri, kind="public")
        assert (page.status_code, "field-error" in page.text) == (400, True), uri


def test_the_token_address_answers_by_its_rfc(app_client: TestClient) -> None:
    for fields, error in (
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code"}, "invalid_grant"),
        ({"grant_type": "authorization_code", "code": "x", "client_id": "y"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "x", "client_id": "y"}, "invalid_grant"),
    ):
        answer = app_client.post("/oauth/token", data=fields)
        assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_the_discovery_document_promises_what_is_there(app_client: TestClient) -> None:
    found = app_client.get("/.well-known/openid-configuration")
    assert found.headers["access-control-allow-origin"] == "*"
    document = found.json()
    assert "authorization_code" in document["grant_types_supported"]
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert {"openid", "profile", "contribute-repos"} <= set(document["scopes_supported"])
