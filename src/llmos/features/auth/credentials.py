"""From a presented credential to an `Actor`."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import Unauthenticated
from llmos.features.accounts.actor import ANONYMOUS, Actor, TokenScope
from llmos.features.accounts.avatars import avatar_url
from llmos.features.accounts.models import Membership, User
from llmos.features.auth.models import AccessToken, BrowserSession
from llmos.infra.security.secrets import hash_secret

# The Hub client tells a wrong token from a hidden repository by exactly this sentence.
INVALID_CREDENTIALS = "Invalid credentials in Authorization header"
TOUCH_EVERY = timedelta(minutes=5)


def _invalid() -> Unauthenticated:
    return Unauthenticated(INVALID_CREDENTIALS, code="InvalidCredentials")


def actor_for_user(db: Session, user: User, **credential: Any) -> Actor:
    """The actor of a person; `credential` fills the token or session fields of `Actor`.

    Admin rights come only with a session or a full 'write' token.
    """
    rows = db.execute(select(Membership.org_id, Membership.role).where(Membership.user_id == user.id))
    is_suspended = user.is_sanctioned("suspend", "ban")
    may_administrate = credential.get("token_role") in (None, "write") and not is_suspended
    return Actor(
        user_id=user.id,
        name=user.name,
        fullname=user.fullname,
        email=user.email,
        is_admin=user.is_admin and may_administrate,
        roles={row.org_id: row.role for row in rows},
        locale=user.locale,
        theme=user.theme,
        avatar_url=avatar_url(user.namespace),
        is_suspended=is_suspended,
        is_warned=user.is_sanctioned("warn"),
        **credential,
    )


def actor_for_token(db: Session, token: str, *, ip: str | None = None) -> Actor:
    """Raises Unauthenticated when the token is unknown, revoked, expired or its owner disabled or banned."""
    row = db.scalar(select(AccessToken).where(AccessToken.token_hash == hash_secret(token)))
    if row is None or row.revoked_at is not None or row.user.disabled_at is not None:
        raise _invalid()
    if row.expires_at is not None and row.expires_at <= clock.now():
        raise _invalid()
    if row.user.is_sanctioned("ban"):
        raise _invalid()
    return actor_for_user(
        db,
        row.user,
        token_role=row.role,
        token_name=row.name,
        token_id=row.id,
        scopes=token_scopes(row),
        ip=ip,
    )


def token_scopes(row: AccessToken) -> tuple[TokenScope, ...]:
    """What a fine-grained token grants, as its row says."""
    return tuple(TokenScope(scope["target"].lower(), frozenset(scope["verbs"])) for scope in row.scopes)


def actor_for_session(db: Session, secret: str, *, ip: str | None = None) -> Actor:
    """The actor of a browser session; anonymous when it ended or its owner is disabled."""
    row = db.scalar(select(BrowserSession).where(BrowserSession.secret_hash == hash_secret(secret)))
    if row is None or row.expires_at <= clock.now() or row.user.disabled_at is not None:
        return dataclasses.replace(ANONYMOUS, ip=ip)
    return actor_for_user(db, row.user, session_id=row.id, ip=ip)
