"""OAuth as Hub clients use it: device sign-in (RFC 8628), refresh (RFC 6749), user information."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from llmos.core.errors import BadRequest, NotBuilt, Unauthenticated
from llmos.features.accounts.avatars import avatar_url
from llmos.features.accounts.models import User
from llmos.features.accounts.queries import list_memberships
from llmos.features.auth import device
from llmos.features.auth.credentials import INVALID_CREDENTIALS
from llmos.features.auth.device import TokenAnswer
from llmos.features.auth.edge import ActorDep
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb, RuntimeDep, run_write
from llmos.infra.web.forms import Form, read_form
from llmos.infra.web.urls import base_url
from llmos.protocols.hf.whoami import org_entry

router = APIRouter(tags=["identity"])

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


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
    """RFC 8628, section 3.4 and RFC 6749, section 6: trade a device code or refresh token."""
    try:
        form = await read_form(request)
        grant_type, client_id = form.text("grant_type"), form.text("client_id")
        answer = await _trade(rt, form, grant_type, client_id)
    except BadRequest as error:
        answer = TokenAnswer("invalid_request", error.message)
    if answer.error is not None:
        body: dict[str, Any] = {"error": answer.error, "error_description": answer.description}
        return JSONResponse(body, 400, _NO_STORE)
    return JSONResponse(
        {
            "access_token": answer.access_token,
            "token_type": "bearer",
            "expires_in": answer.expires_in_s,
            "refresh_token": answer.refresh_token,
            "scope": "openid profile email read-repos write-repos manage-repos",
        },
        headers=_NO_STORE,
    )


async def _trade(rt: RuntimeDep, form: Form, grant_type: str, client_id: str) -> TokenAnswer:
    if grant_type == DEVICE_GRANT:
        code = form.text("device_code")
        return await run_write(rt, lambda db: device.poll_device(db, client_id, code))
    if grant_type == "refresh_token":
        old = form.text("refresh_token")
        return await run_write(rt, lambda db: device.refresh(db, client_id, old))
    return TokenAnswer("unsupported_grant_type", f"grant_type must be refresh_token or {DEVICE_GRANT}.")


@router.get("/oauth/authorize")
@router.post("/oauth/authorize")
def authorize() -> JSONResponse:
    raise NotBuilt(
        lazy("Signing in to other sites through this one is not offered yet: use the device sign-in.")
    )


@router.get("/oauth/userinfo")
def get_userinfo(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> JSONResponse:
    """OpenID Connect Core, section 5.3, with the Hub's own claims."""
    if actor.user_id is None:
        raise Unauthenticated(INVALID_CREDENTIALS, code="InvalidCredentials")
    user = db.get_one(User, actor.user_id)
    base = base_url(request, rt.settings)
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
                "roleInOrg": entry["roleInOrg"],
            }
        )
    return JSONResponse(
        {
            "sub": user.namespace.object_id,
            "name": user.fullname,
            "preferred_username": user.name,
            "email": user.email,
            "email_verified": user.email_verified_at is not None,
            "picture": base + avatar_url(user.namespace),
            "profile": f"{base}/{user.name}",
            "website": user.namespace.website,
            "isPro": False,
            "canPay": False,
            "orgs": orgs,
        }
    )


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
            "grant_types_supported": [DEVICE_GRANT, "refresh_token"],
            "response_types_supported": ["code"],
            "scopes_supported": ["openid", "profile", "email", "read-repos", "write-repos", "manage-repos"],
            "subject_types_supported": ["public"],
            "token_endpoint_auth_methods_supported": ["none"],
            "claims_supported": ["sub", "name", "preferred_username", "email", "email_verified", "picture"],
        }
    )
