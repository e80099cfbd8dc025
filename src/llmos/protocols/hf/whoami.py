"""Hub protocol: who a token belongs to."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse

from llmos.core.clock import to_json
from llmos.core.errors import Unauthenticated
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.avatars import avatar_url
from llmos.features.accounts.models import Membership, Namespace, User
from llmos.features.accounts.queries import list_memberships
from llmos.features.auth.credentials import INVALID_CREDENTIALS
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.models import AccessToken
from llmos.features.auth.oauth_scopes import allows_claim
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.urls import base_url

router = Router(tags=["identity"])

# How the Hub spells our verbs in the permissions of fine-grained tokens.
_PERMISSIONS = {
    "repo.read": "repo.content.read",
    "repo.write": "repo.write",
    "repo.create": "repo.create",
    "repo.admin": "repo.access.read",
    "discussion.write": "discussion.write",
    "job.write": "job.write",
    "inference": "inference.serverless.write",
}


@router.get("/api/whoami-v2")
def get_whoami(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> JSONResponse:
    """The person behind the credential, their organisations, and what the token may do."""
    if actor.user_id is None:
        raise Unauthenticated(INVALID_CREDENTIALS, code="InvalidCredentials")
    user = db.get_one(User, actor.user_id)
    base = base_url(request, rt.settings)
    token = db.get(AccessToken, actor.token_id) if actor.token_id is not None else None
    email = user.email if token is None or allows_claim(token.oauth_scopes, "email") else None
    return JSONResponse(
        {
            "type": "user",
            "id": user.namespace.object_id,
            "name": user.name,
            "fullname": user.fullname,
            "email": email,
            "emailVerified": user.email_verified_at is not None,
            "canPay": False,
            "isPro": False,
            "periodEnd": None,
            "avatarUrl": base + avatar_url(user.namespace),
            "orgs": [org_entry(base, membership) for membership in list_memberships(db, user.id)],
            "auth": _auth(db, actor),
        }
    )


def org_entry(base: str, membership: Membership) -> dict[str, Any]:
    namespace = membership.organization.namespace
    return {
        "type": "org",
        "id": namespace.object_id,
        "name": namespace.name,
        "fullname": namespace.fullname or namespace.name,
        "email": None,
        "canPay": False,
        "periodEnd": None,
        "isEnterprise": False,
        "avatarUrl": base + avatar_url(namespace),
        "roleInOrg": membership.role,
    }


def _auth(db: Session, actor: Actor) -> dict[str, Any]:
    if actor.token_id is None:
        return {"type": "session"}
    token = db.get_one(AccessToken, actor.token_id)
    details: dict[str, Any] = {
        "displayName": token.name,
        "role": token.role,
        "createdAt": to_json(token.created_at),
    }
    if token.expires_at is not None:
        details["expiresAt"] = to_json(token.expires_at)
    if token.role == "fineGrained":
        scoped = [_scope(db, scope) for scope in token.scopes if scope["target"] != "*"]
        everywhere = [scope["verbs"] for scope in token.scopes if scope["target"] == "*"]
        details["fineGrained"] = {
            "canReadGatedRepos": True,
            "global": [_PERMISSIONS[verb] for verb in (everywhere[0] if everywhere else [])],
            "scoped": scoped,
        }
    return {"type": "access_token", "accessToken": details}


def _scope(db: Session, scope: dict[str, Any]) -> dict[str, Any]:
    kind, colon, name = str(scope["target"]).partition(":")
    if not colon:
        name = kind
        found = db.scalar(select(Namespace).where(Namespace.name_key == name))
        kind = found.kind if found else "user"
        name = found.name if found else name
    return {
        "entity": {"_id": name, "type": kind, "name": name},
        "permissions": [_PERMISSIONS[verb] for verb in scope["verbs"]],
    }
