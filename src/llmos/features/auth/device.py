"""Signing in a program by a code typed into the browser (RFC 8628), and its refresh tokens."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, NotFound
from llmos.core.ids import new_access_token, new_secret
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import User
from llmos.features.auth.models import AccessToken, DeviceGrant
from llmos.features.auth.oauth_scopes import FULL_SCOPE
from llmos.features.auth.tokens import add_token
from llmos.infra.i18n import lazy
from llmos.infra.security.secrets import hash_secret

EXPIRES_IN_S = 900
INTERVAL_S = 2
TOKEN_DAYS = 30
REFRESH_DAYS = 180
APP_TOKEN_TTL = timedelta(hours=8)
# Two processes of one person may refresh at the same moment, and go on with the old token a while.
REFRESH_GRACE = timedelta(minutes=2)
# RFC 8628, section 6.1: no vowels, so that no word appears; nothing that looks like a digit.
_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
# The client id that huggingface_hub carries unless the environment names another.
_HUB_CLIENT_ID = "26be6b09-"


@dataclass(frozen=True)
class DeviceStart:
    device_code: str
    user_code: str
    expires_in_s: int = EXPIRES_IN_S
    interval_s: int = INTERVAL_S


@dataclass(frozen=True)
class TokenAnswer:
    """The answer of the token endpoint: either `error` (RFC 6749 / 8628 code) or the tokens."""

    error: str | None = None
    description: str = ""
    access_token: str = ""
    refresh_token: str = ""
    expires_in_s: int = 0
    scope: str = FULL_SCOPE
    # Who signed in to an app by the code flow, and the app's own mark of that sign-in.
    user_id: int | None = None
    nonce: str | None = None


@dataclass(frozen=True)
class Issue:
    """What a pair of tokens is to be: by default all the person may do, as a device sign-in gives."""

    name: str
    role: str = "write"
    scopes: Sequence[dict[str, Any]] = ()
    oauth_scopes: str | None = None
    ttl: timedelta = timedelta(days=TOKEN_DAYS)


def start_device(db: Session, client_id: str, *, user_agent: str = "") -> DeviceStart:
    """Begin a sign-in. Raises BadRequest for a missing or odd client id."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", client_id):
        raise BadRequest(lazy("client_id is missing or malformed: send 1 to 100 letters, digits or '._-'."))
    db.execute(delete(DeviceGrant).where(DeviceGrant.expires_at < clock.now() - timedelta(days=1)))
    device_code = new_secret()
    letters = "".join(secrets.choice(_CODE_LETTERS) for _ in range(8))
    user_code = f"{letters[:4]}-{letters[4:]}"
    db.add(
        DeviceGrant(
            device_code_hash=hash_secret(device_code),
            user_code=user_code,
            client_id=client_id,
            user_agent=user_agent[:300],
            expires_at=clock.now() + timedelta(seconds=EXPIRES_IN_S),
        )
    )
    return DeviceStart(device_code, user_code)


def access_grant(db: Session, user_code: str) -> DeviceGrant:
    """The waiting sign-in of a code, typed in any case, with or without the dash. Raises NotFound."""
    letters = re.sub(r"[^A-Z]", "", user_code.upper())
    grant = db.scalar(select(DeviceGrant).where(DeviceGrant.user_code == f"{letters[:4]}-{letters[4:]}"[:12]))
    if grant is None or grant.status != "pending" or grant.expires_at <= clock.now():
        raise NotFound(
            lazy("This code is not known or out of date: start again in your program."),
            data={"field": "user_code"},
        )
    return grant


def decide(db: Session, actor: Actor, user_code: str, *, is_approved: bool) -> None:
    """Let the waiting program act as the actor, or refuse it. Raises NotFound, Forbidden."""
    actor.check_account_write()
    grant = access_grant(db, user_code)
    grant.user_id = actor.require_user()
    grant.status = "approved" if is_approved else "denied"
    audit.record(db, actor, f"device.{grant.status}", actor.name, client_id=grant.client_id)


def client_name(client_id: str) -> str:
    """A short word for a client, used in the names of its tokens."""
    if client_id.startswith(_HUB_CLIENT_ID):
        return "hf"
    return re.sub(r"[^a-z0-9]+", "-", client_id.lower()).strip("-")[:24] or "app"


def poll_device(db: Session, client_id: str, device_code: str) -> TokenAnswer:
    """Answer a waiting program. Never raises, so that the time of the poll is kept."""
    grant = db.scalar(
        select(DeviceGrant).where(DeviceGrant.device_code_hash == hash_secret(device_code)).with_for_update()
    )
    if grant is None or grant.client_id != client_id or grant.status == "used":
        return TokenAnswer("invalid_grant", "The device code is not known or was used.")
    if grant.expires_at <= clock.now():
        return TokenAnswer("expired_token", "The device code is out of date: start again.")
    if grant.status == "denied":
        return TokenAnswer("access_denied", "The sign-in was refused in the browser.")
    if grant.status == "pending":
        return _keep_waiting(grant)
    user = db.get(User, grant.user_id)
    grant.status = "used"
    if user is None or user.disabled_at is not None:
        return TokenAnswer("access_denied", "The account cannot sign in.")
    return issue(db, user, client_id, Issue(new_token_name(client_id)))


def _keep_waiting(grant: DeviceGrant) -> TokenAnswer:
    now, before = clock.now(), grant.last_polled_at
    grant.last_polled_at = now
    if before is not None and now - before < timedelta(seconds=INTERVAL_S * 0.75):
        return TokenAnswer("slow_down", f"Wait {INTERVAL_S} s between requests.")
    return TokenAnswer("authorization_pending", "Waiting for the browser.")


def refresh(db: Session, client_id: str, refresh_token: str) -> TokenAnswer:
    """New tokens for a refresh token, which is used up; a late second use ends its successors too."""
    row = db.scalar(
        select(AccessToken)
        .where(AccessToken.refresh_hash == hash_secret(refresh_token))
        .with_for_update(of=AccessToken)
    )
    refused = TokenAnswer("invalid_grant", "The refresh token is revoked or out of date: sign in again.")
    if row is None or row.revoked_at is not None or row.client_id != client_id:
        return refused
    now = clock.now()
    if row.refresh_expires_at is None or row.refresh_expires_at <= now or row.user.disabled_at is not None:
        return refused
    if row.refresh_used_at is not None and row.refresh_used_at < now - REFRESH_GRACE:
        _revoke_family(db, row)
        return refused
    row.refresh_used_at = row.refresh_used_at or now
    latest = now + REFRESH_GRACE
    row.expires_at = min(row.expires_at, latest) if row.expires_at else latest
    ttl = timedelta(days=TOKEN_DAYS) if row.oauth_scopes is None else APP_TOKEN_TTL
    same = Issue(row.name, row.role, row.scopes, row.oauth_scopes, ttl)
    return issue(db, row.user, client_id, same, is_new=False)


def _revoke_family(db: Session, row: AccessToken) -> None:
    """A refresh token used twice was copied: nobody may go on with any token that came of it."""
    family = select(AccessToken).where(
        AccessToken.user_id == row.user_id,
        AccessToken.client_id == row.client_id,
        AccessToken.name == row.name,
        AccessToken.revoked_at.is_(None),
    )
    for token in db.scalars(family):
        token.revoked_at = clock.now()
    audit.record(db, Actor(name="system"), "token.reuse", row.user.name, token=row.name)


def new_token_name(client: str) -> str:
    """A name for the tokens of one sign-in of a program or app."""
    return f"oauth-{client_name(client)}-{secrets.token_hex(3)}"


def issue(db: Session, user: User, client_id: str, wish: Issue, *, is_new: bool = True) -> TokenAnswer:
    """An access token and its refresh token; both can be read only in this answer."""
    secret, refresh_token = new_access_token(), new_secret()
    now = clock.now()
    if is_new:
        audit.record(db, Actor(user_id=user.id, name=user.name), "token.create", user.name, token=wish.name)
    add_token(
        db,
        user,
        name=wish.name,
        secret=secret,
        role=wish.role,
        scopes=list(wish.scopes),
        oauth_scopes=wish.oauth_scopes,
        client_id=client_id,
        expires_at=now + wish.ttl,
        refresh_hash=hash_secret(refresh_token),
        refresh_expires_at=now + timedelta(days=REFRESH_DAYS),
    )
    return TokenAnswer(
        access_token=secret,
        refresh_token=refresh_token,
        expires_in_s=int(wish.ttl.total_seconds()),
        scope=FULL_SCOPE if wish.oauth_scopes is None else wish.oauth_scopes,
    )
