"""OAuth as Hub clients use it: tokens for codes (RFC 6749, RFC 8628), and who a token belongs to.

The page where people allow an app is of the feature `auth`.
"""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import unquote_plus

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from llmos.core import clock
from llmos.core.errors import BadRequest, Unauthenticated
from llmos.features.accounts.avatars import avatar_url
from llmos.features.accounts.models import User
from llmos.features.accounts.queries import list_memberships
from llmos.features.auth import device, oauth_flow
from llmos.features.auth.credentials import INVALID_CREDENTIALS
from llmos.features.auth.device import TokenAnswer
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.models import AccessToken
from llmos.features.auth.oauth_scopes import SCOPES, allows_claim
from llmos.infra.security.id_tokens import ALGORITHM, half_hash, public_keys, sign_jwt
from llmos.infra.web.deps import ReadDb, RuntimeDep, run_write
from llmos.infra.web.forms import Form, read_form
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.urls import base_url
from llmos.protocols.hf.whoami import org_entry

router = Router(tags=["identity"])

ID_TOKEN_TTL_S = 3600
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_GRANTS = ("authorization_code", "refresh_token", DEVICE_GRANT)
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
# Pages of other sites read these answers; no cookie of ours is ever looked at for them.
_OPEN = {"Access-Control-Allow-Origin": "*"}
_TOKEN_HEADERS = _NO_STORE | _OPEN


@router.post("/oauth/device")
async def post_device(request: Request, rt: RuntimeDep) -> JSONResponse:
    """RFC 8628, section 3.1: begin a sign-in on a device without a browser of its own."""
    form = await read_form(request)
    client_id = form.text("client_id")
    agent = request.headers.get("user-agent", "")
    start = await run_write(rt, lambda db: device.start_device(db, client_id, user_agent=agent))
    page = f"{base_url(request, rt.settings)}/device"
    return JSONResponse(
        {
            "device_code": start.device_code,
            "user_code": start.user_code,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?user_code={start.user_code}",
            "expires_in": start.expires_in_s,
            "interval": start.interval_s,
        },
        headers=_NO_STORE,
    )


@router.post("/oauth/token")
async def post_token(request: Request, rt: RuntimeDep) -> JSONResponse:
    """RFC 6749, sections 3.2 and 6, and RFC 8628, section 3.4: trade a code or refresh token."""
    claims: dict[str, Any] | None = None
    try:
        form = await read_form(request)
        client = _read_client(request, form)
        base = base_url(request, rt.settings)
        answer, claims = await run_write(rt, lambda db: _trade_and_tell(db, form, client, base))
    except BadRequest as error:
        answer = TokenAnswer("invalid_request", error.message)
    if answer.error is not None:
        body: dict[str, Any] = {"error": answer.error, "error_description": answer.description}
        if answer.error == "invalid_client":
            return JSONResponse(body, 401, _TOKEN_HEADERS | {"WWW-Authenticate": 'Basic realm="OAuth"'})
        return JSONResponse(body, 400, _TOKEN_HEADERS)
    tokens: dict[str, Any] = {
        "access_token": answer.access_token,
        "token_type": "bearer",
        "expires_in": answer.expires_in_s,
        "refresh_token": answer.refresh_token,
        "scope": answer.scope,
    }
    if claims is not None:
        tokens["id_token"] = await run_in_threadpool(sign_jwt, rt.settings, claims)
    return JSONResponse(tokens, headers=_TOKEN_HEADERS)


def _trade_and_tell(
    db: Session, form: Form, client: tuple[str, str | None], base: str
) -> tuple[TokenAnswer, dict[str, Any] | None]:
    """The answer, and what the `id_token` says where one is due (OpenID Connect Core, section 3.1.3.3)."""
    answer = _trade(db, form, client)
    scopes = answer.scope.split()
    if answer.user_id is None or "openid" not in scopes:
        return answer, None
    now_s = int(clock.now().timestamp())
    claims: dict[str, Any] = {
        "iss": base,
        "aud": client[0],
        "iat": now_s,
        "exp": now_s + ID_TOKEN_TTL_S,
        "at_hash": half_hash(answer.access_token),
        **_claims(db, base, db.get_one(User, answer.user_id), answer.scope),
    }
    return answer, claims if answer.nonce is None else {**claims, "nonce": answer.nonce}


def _read_client(request: Request, form: Form) -> tuple[str, str | None]:
    """Client id and secret, of the form or of a Basic header (RFC 6749, section 2.3.1), not of both."""
    client_id = form.text("client_id")
    secret = form.text("client_secret", strip=False) if form.has("client_secret") else None
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return client_id, secret
    try:
        name, colon, password = base64.b64decode(rest, validate=True).decode().partition(":")
    except ValueError as error:
        raise BadRequest("The Authorization header is not 'Basic' with client id and secret.") from error
    if secret is not None or (client_id and client_id != unquote_plus(name)) or not colon:
        raise BadRequest("Send the client's id and secret once: in the form or in the Authorization header.")
    return unquote_plus(name), unquote_plus(password)


def _trade(db: Session, form: Form, client: tuple[str, str | None]) -> TokenAnswer:
    grant_type, client_id = form.text("grant_type"), client[0]
    if grant_type not in _GRANTS:
        return TokenAnswer("unsupported_grant_type", f"grant_type must be one of: {', '.join(_GRANTS)}.")
    refusal = oauth_flow.check_client(db, *client)
    if refusal is not None:
        return refusal
    if grant_type == DEVICE_GRANT:
        return device.poll_device(db, client_id, form.text("device_code"))
    if grant_type == "refresh_token":
        return device.refresh(db, client_id, form.text("refresh_token"))
    verifier = form.text("code_verifier")
    return oauth_flow.trade_code(db, client_id, form.text("code"), form.text("redirect_uri"), verifier)


@router.options("/oauth/userinfo", include_in_schema=False)
def options_userinfo() -> Response:
    """What a browser asks before a page of another site sends its token here."""
    return Response(None, 204, _OPEN | {"Access-Control-Allow-Headers": "authorization"})


@router.get("/oauth/userinfo")
def get_userinfo(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> JSONResponse:
    """OpenID Connect Core, section 5.3, with the Hub's own claims."""
    if actor.user_id is None:
        raise Unauthenticated(INVALID_CREDENTIALS, code="InvalidCredentials")
    user = db.get_one(User, actor.user_id)
    token = db.get(AccessToken, actor.token_id) if actor.token_id is not None else None
    scopes = token.oauth_scopes if token is not None else None
    return JSONResponse(_claims(db, base_url(request, rt.settings), user, scopes), headers=_OPEN)


def _claims(db: Session, base: str, user: User, scopes: str | None) -> dict[str, Any]:
    """What an app with these scopes may know of a person; None allows everything."""
    claims: dict[str, Any] = {"sub": user.namespace.object_id}
    if allows_claim(scopes, "profile"):
        claims |= _profile(db, base, user, allows_claim(scopes, "read-orgs"))
    if allows_claim(scopes, "email"):
        claims |= {"email": user.email, "email_verified": user.email_verified_at is not None}
    return claims


def _profile(db: Session, base: str, user: User, with_roles: bool) -> dict[str, Any]:
    orgs = []
    for membership in list_memberships(db, user.id):
        entry = org_entry(base, membership)
        orgs.append(
            {
                "sub": entry["id"],
                "name": entry["fullname"],
                "preferred_username": entry["name"],
                "picture": entry["avatarUrl"],
                "isEnterprise": False,
                **({"roleInOrg": entry["roleInOrg"]} if with_roles else {}),
            }
        )
    return {
        "name": user.fullname,
        "preferred_username": user.name,
        "picture": base + avatar_url(user.namespace),
        "profile": f"{base}/{user.name}",
        "website": user.namespace.website,
        "isPro": False,
        "canPay": False,
        "orgs": orgs,
    }


@router.get("/oauth/jwks")
def get_jwks(rt: RuntimeDep) -> JSONResponse:
    """RFC 7517: the public key by which apps check an `id_token`."""
    return JSONResponse(public_keys(rt.settings), headers=_OPEN | {"Cache-Control": "public, max-age=3600"})


@router.get("/.well-known/openid-configuration")
def get_openid_configuration(request: Request, rt: RuntimeDep) -> JSONResponse:
    """OpenID Connect Discovery: what of OAuth this instance offers."""
    base = base_url(request, rt.settings)
    return JSONResponse(
        {
            "issuer": base,
            "authorization_endpoint": f"{base}/oauth/authorize",
            "device_authorization_endpoint": f"{base}/oauth/device",
            "token_endpoint": f"{base}/oauth/token",
            "userinfo_endpoint": f"{base}/oauth/userinfo",
            "jwks_uri": f"{base}/oauth/jwks",
            "grant_types_supported": list(_GRANTS),
            "response_types_supported": ["code"],
            "scopes_supported": list(SCOPES),
            "code_challenge_methods_supported": ["S256"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
            "claims_supported": [
                *("iss", "sub", "aud", "exp", "iat", "nonce", "at_hash", "name", "preferred_username"),
                *("profile", "picture", "website", "email", "email_verified", "orgs"),
            ],
        },
        headers=_OPEN,
    )
