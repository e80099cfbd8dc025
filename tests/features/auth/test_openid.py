"""Sign-in to other sites by OpenID Connect: with the Hub client's own helper, and step by step."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import FastAPI, Request
from huggingface_hub import attach_huggingface_oauth, constants, parse_huggingface_oauth
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import KeySet
from starlette.testclient import TestClient

from features.auth.test_oauth import PAGE, allow, ask, bearer, question, register, told, trade
from kit.browser import ORIGIN, Browser
from kit.server import LiveServer
from llmos.features.accounts.models import User
from llmos.infra.runtime import Runtime, open_runtime
from llmos.infra.settings import Settings

SPACE = "https://ada-space.example"
CALLBACK = f"{SPACE}/oauth/huggingface/callback"


class Visitor(Browser):
    """Ada's browser at the live server."""

    def post(self, path: str, page: str = PAGE, **data: object) -> httpx.Response:
        fields = {"csrf_token": self.token(page), **data}
        return self.client.post(path, data=fields, headers={"origin": str(self.client.base_url).rstrip("/")})


@pytest.fixture
def visitor(server: LiveServer, password_hash: str) -> Iterator[Visitor]:
    rt = open_runtime(Settings(home=server.home, database_url=server.env.get("LLMOS_DATABASE_URL", "")))
    with rt.database.writing() as db:
        db.query(User).filter_by(email="ada@example.org").update({"password_hash": password_hash})
    rt.close()
    with httpx.Client(base_url=server.url) as client:
        found = Visitor(client)  # type: ignore[arg-type]
        assert found.sign_in("ada").status_code == 303
        yield found


@pytest.fixture
def space(visitor: Visitor, server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """An app of ada's that signs people in by the helper, as a Space does."""
    client_id, secret = register(visitor, "confidential", CALLBACK)
    monkeypatch.setenv("SPACE_ID", "ada/space")
    monkeypatch.setattr(constants, "OAUTH_CLIENT_ID", client_id)
    monkeypatch.setattr(constants, "OAUTH_CLIENT_SECRET", secret)
    monkeypatch.setattr(constants, "OAUTH_SCOPES", "openid profile email")
    monkeypatch.setattr(constants, "OPENID_PROVIDER_URL", server.url)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_EXPERIMENTAL_WARNING", True)
    app = FastAPI()
    attach_huggingface_oauth(app)

    @app.get("/me")
    def show_person(request: Request) -> dict[str, Any]:
        info = parse_huggingface_oauth(request)
        if info is None:
            return {}
        return {"name": info.user_info.preferred_username, "mail": info.user_info.email, "scope": info.scope}

    return TestClient(app, base_url=SPACE, follow_redirects=False)


def test_the_helper_of_the_hub_client_signs_people_in(visitor: Visitor, space: TestClient) -> None:
    assert space.get("/me").json() == {}
    away = space.get("/oauth/huggingface/login?tab=2").headers["location"]
    asked = {name: values[0] for name, values in parse_qs(urlsplit(away).query).items()}
    assert asked["redirect_uri"] == CALLBACK + "?_target_url=%2F%3Ftab%3D2"
    page = visitor.client.get(away, headers={"accept": "text/html"})
    assert page.status_code == 200, page.text
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text))
    fields |= {"nonce": asked["nonce"], "redirect_uri": asked["redirect_uri"], "decision": "allow"}
    allowed = visitor.client.post(
        "/oauth/authorize", data=fields, headers={"origin": str(visitor.client.base_url).rstrip("/")}
    )
    back = space.get(allowed.headers["location"])
    assert (back.status_code, back.headers["location"]) == (307, "/?tab=2")
    assert space.get("/me").json() == {
        "name": "ada",
        "mail": "ada@example.org",
        "scope": "openid profile email",
    }


def test_step_by_step(rt: Runtime, ada: Browser, app_client: TestClient) -> None:
    client_id, _ = register(ada)
    document = app_client.get("/.well-known/openid-configuration").json()
    assert document["id_token_signing_alg_values_supported"] == ["RS256"]
    asked = question(client_id, scope="openid profile read-orgs", nonce="n-1")
    tokens = trade(app_client, client_id, allow(ada, asked)["code"]).json()
    answer = app_client.get(urlsplit(document["jwks_uri"]).path)
    assert answer.headers["access-control-allow-origin"] == "*"
    keys = KeySet.import_key_set(answer.json())
    token = jwt.decode(tokens["id_token"], keys, algorithms=["RS256"])
    claims = token.claims
    assert (claims["iss"], claims["aud"], claims["nonce"]) == (ORIGIN, client_id, "n-1")
    assert document["issuer"] == claims["iss"]
    assert claims["exp"] - claims["iat"] == 3600
    assert claims["preferred_username"] == "ada"
    assert "email" not in claims
    digest = hashlib.sha256(tokens["access_token"].encode()).digest()[:16]
    assert claims["at_hash"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    info = app_client.get("/oauth/userinfo", headers=bearer(tokens["access_token"])).json()
    assert info.items() <= claims.items()
    head, _, tail = tokens["id_token"].split(".")
    forged = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "x"}).encode()).rstrip(b"=").decode()
    with pytest.raises(BadSignatureError):
        jwt.decode(f"{head}.{forged}.{tail}", keys, algorithms=["RS256"])
    path = rt.settings.home / "secrets" / "id_token_key.pem"
    assert (path.stat().st_mode & 0o777, token.header["kid"]) == (0o600, answer.json()["keys"][0]["kid"])
    assert list(answer.json()["keys"][0]) == ["e", "kty", "n", "kid", "alg", "use"]


def test_no_statement_without_openid_or_a_code(ada: Browser, app_client: TestClient) -> None:
    client_id, _ = register(ada)
    plain = trade(app_client, client_id, allow(ada, question(client_id, scope="profile"))["code"]).json()
    assert "id_token" not in plain
    renewal = {
        "grant_type": "refresh_token",
        "refresh_token": plain["refresh_token"],
        "client_id": client_id,
    }
    assert "id_token" not in app_client.post("/oauth/token", data=renewal).json()
    long = ask(ada, **question(client_id, nonce=secrets.token_hex(200)))
    assert told(long)["error"] == "invalid_request"


def test_only_a_path_of_the_app_may_follow_its_address(ada: Browser) -> None:
    client_id, _ = register(ada, uris="https://app.example/back")
    base = "https://app.example/back?_target_url="
    for target, status in (
        *(("%2F%3Ftab%3D2", 200), ("/", 200), ("%2Fdeep%2Fpath", 200)),
        *(("%2F%2Fevil.example", 400), ("//evil.example", 400), ("https%3A%2F%2Fevil.example", 400)),
        *(("%2F%5Cevil.example", 400), ("%2F%09%2Fevil.example", 400), ("/&code=mine", 400), ("", 400)),
    ):
        assert ask(ada, **question(client_id, redirect_uri=base + target)).status_code == status, target
