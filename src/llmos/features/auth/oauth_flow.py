"""The authorization code flow (RFC 6749, section 4.1, with PKCE, RFC 7636): from question to tokens."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import urlencode

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, NotFound
from llmos.core.ids import new_secret
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import User
from llmos.features.auth import device, oauth_apps
from llmos.features.auth.device import TokenAnswer
from llmos.features.auth.models import AccessToken, OAuthApp, OAuthCode, OAuthGrant
from llmos.features.auth.oauth_scopes import SCOPES, parse_scopes, token_scopes_of
from llmos.infra.i18n import lazy
from llmos.infra.security.secrets import hash_secret

CODE_TTL = timedelta(minutes=10)
MAX_STATE_CHARS = 4000
MAX_NONCE_CHARS = 255
PARAMETERS = (
    "client_id", "redirect_uri", "response_type", "scope", "state", "code_challenge",
    "code_challenge_method", "prompt", "nonce",
)  # fmt: skip
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


@dataclass(frozen=True)
class Question:
    """A checked request of an app; `problem` is an RFC 6749 error the app is to be told."""

    app: OAuthApp
    redirect_uri: str
    is_uri_named: bool
    scopes: list[str]
    state: str
    challenge: str | None
    prompt: str
    nonce: str | None = None
    problem: tuple[str, str] | None = None

    def answer(self, **parameters: str) -> str:
        """The address that brings the person back to the app."""
        if self.state:
            parameters["state"] = self.state
        joint = "&" if "?" in self.redirect_uri else "?"
        return f"{self.redirect_uri}{joint}{urlencode(parameters)}"

    def refusal(self, code: str, description: str) -> str:
        return self.answer(error=code, error_description=description)


def read_question(db: Session, given: Mapping[str, str]) -> Question:
    """Check what an app asks. Raises BadRequest when it is not known where the person may be sent."""
    app = oauth_apps.get_app(db, given.get("client_id", "")[:100])
    if app is None:
        raise BadRequest(lazy("client_id: no app of this id is registered here."))
    uri = given.get("redirect_uri", "")
    if not uri and len(app.redirect_uris) != 1:
        raise BadRequest(lazy("redirect_uri is missing: the app must say where to return to."))
    if uri and not oauth_apps.is_registered(app, uri):
        raise BadRequest(lazy("redirect_uri is not one that this app has registered."))
    scopes, unknown = parse_scopes(given.get("scope", "") or "openid profile")
    state = given.get("state", "")
    challenge = given.get("code_challenge") or None
    return Question(
        app=app,
        redirect_uri=uri or app.redirect_uris[0],
        is_uri_named=bool(uri),
        scopes=scopes,
        state=state if len(state) <= MAX_STATE_CHARS else "",
        challenge=challenge,
        prompt=given.get("prompt", ""),
        nonce=given.get("nonce") or None,
        problem=_problem(app, given, unknown, challenge),
    )


def _problem(
    app: OAuthApp, given: Mapping[str, str], unknown: list[str], challenge: str | None
) -> tuple[str, str] | None:
    for name, limit in (("state", MAX_STATE_CHARS), ("nonce", MAX_NONCE_CHARS)):
        if len(given.get(name, "")) > limit:
            return "invalid_request", f"{name} is longer than {limit} characters"
    if given.get("response_type") != "code":
        kind = "unsupported_response_type" if given.get("response_type") else "invalid_request"
        return kind, "response_type must be code"
    if unknown:
        return "invalid_scope", f"unknown scope {unknown[0][:50]!a}: use {' '.join(SCOPES)}"
    method = given.get("code_challenge_method", "plain" if challenge else "S256")
    if challenge and (method != "S256" or not _CHALLENGE.fullmatch(challenge)):
        return "invalid_request", "code_challenge must be the S256 challenge of RFC 7636, 43 characters"
    if challenge is None and not app.is_confidential:
        return "invalid_request", "a public app must send code_challenge with method S256"
    return None


def get_grant(db: Session, user_id: int, app: OAuthApp) -> OAuthGrant | None:
    return db.scalar(select(OAuthGrant).where(OAuthGrant.user_id == user_id, OAuthGrant.app_id == app.id))


def is_granted(db: Session, actor: Actor, question: Question) -> bool:
    """Whether the person need not be asked again: the same or less, of an app that proves who it is."""
    grant = get_grant(db, actor.require_user(), question.app)
    if grant is None or not question.app.is_confidential or question.prompt in ("consent", "login"):
        return False
    return set(question.scopes) <= set(grant.scopes)


def allow(db: Session, actor: Actor, question: Question) -> str:
    """The person lets the app in: the address to go to, with a code that is traded once."""
    actor.check_account_write()
    user_id = actor.require_user()
    now = clock.now()
    db.execute(delete(OAuthCode).where(OAuthCode.expires_at < now - timedelta(days=1)))
    grant = get_grant(db, user_id, question.app)
    if grant is None:
        grant = OAuthGrant(user_id=user_id, app_id=question.app.id, scopes=[], targets=[])
        db.add(grant)
    wider = [name for name in SCOPES if name in {*grant.scopes, *question.scopes}]
    if wider != list(grant.scopes):
        grant.scopes, grant.changed_at = wider, now
        audit.record(
            db, actor, "oauth.allow", actor.name, app=question.app.name,
            client_id=question.app.client_id, scopes=question.scopes,
        )  # fmt: skip
    db.flush()
    code = new_secret()
    db.add(
        OAuthCode(
            code_hash=hash_secret(code),
            grant_id=grant.id,
            redirect_uri=question.redirect_uri,
            is_uri_named=question.is_uri_named,
            scopes=question.scopes,
            challenge=question.challenge,
            nonce=question.nonce,
            expires_at=now + CODE_TTL,
        )
    )
    return question.answer(code=code)


def check_client(db: Session, client_id: str, secret: str | None) -> TokenAnswer | None:
    """None if the client is who it says (RFC 6749, section 2.3), else the refusal.

    A client nobody registered is a program that signs in by device code; it has no secret to show.
    """
    app = oauth_apps.get_app(db, client_id)
    if app is None or not app.is_confidential:
        return None
    if secret is None or not oauth_apps.is_secret_right(app, secret):
        return TokenAnswer("invalid_client", "The client secret is missing or wrong.")
    return None


def trade_code(db: Session, client_id: str, code: str, redirect_uri: str, verifier: str) -> TokenAnswer:
    """Tokens for a code. A code shown twice was stolen: what came of it ends, too. Never raises."""
    refused = TokenAnswer("invalid_grant", "The code is not known, was used, or is out of date.")
    row = db.scalar(
        select(OAuthCode).where(OAuthCode.code_hash == hash_secret(code)).with_for_update(of=OAuthCode)
    )
    if row is None or row.grant.app.client_id != client_id:
        return refused
    user = db.get_one(User, row.grant.user_id)
    if row.token_name is not None:
        _end_stolen(db, user, row)
        return refused
    if row.expires_at <= clock.now() or user.disabled_at is not None:
        return refused
    if redirect_uri != row.redirect_uri and (redirect_uri or row.is_uri_named):
        return TokenAnswer("invalid_grant", "redirect_uri is not the one the code was asked with.")
    if not _is_verified(row.challenge, verifier):
        return TokenAnswer("invalid_grant", "code_verifier does not match code_challenge.")
    name = device.new_token_name(row.grant.app.name)
    row.token_name = name
    answer = device.issue(
        db,
        user,
        client_id,
        device.Issue(
            name=name,
            role="fineGrained",
            scopes=token_scopes_of(row.scopes, row.grant.targets),
            oauth_scopes=" ".join(row.scopes),
            ttl=device.APP_TOKEN_TTL,
        ),
    )
    return replace(answer, user_id=user.id, nonce=row.nonce)


def _is_verified(challenge: str | None, verifier: str) -> bool:
    if challenge is None:
        return not verifier
    if not _VERIFIER.fullmatch(verifier):
        return False
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == challenge


def _end_stolen(db: Session, user: User, row: OAuthCode) -> None:
    statement = select(AccessToken).where(
        AccessToken.user_id == user.id,
        AccessToken.client_id == row.grant.app.client_id,
        AccessToken.name == row.token_name,
        AccessToken.revoked_at.is_(None),
    )
    for token in db.scalars(statement):
        token.revoked_at, token.refresh_hash = clock.now(), None
    audit.record(db, Actor(name="system"), "oauth.reuse", user.name, client_id=row.grant.app.client_id)


def list_grants(db: Session, actor: Actor) -> list[OAuthGrant]:
    statement = select(OAuthGrant).where(OAuthGrant.user_id == actor.require_user())
    return list(db.scalars(statement.order_by(OAuthGrant.id.desc())))


def revoke_grant(db: Session, actor: Actor, client_id: str) -> None:
    """The person shuts the app out: its tokens and codes are refused from now on. Raises NotFound."""
    actor.check_account_write()
    user_id = actor.require_user()
    grant = next((found for found in list_grants(db, actor) if found.app.client_id == client_id), None)
    if grant is None:
        raise NotFound(lazy("You have let in no app with this client id."))
    oauth_apps.revoke_tokens(db, client_id, user_id)
    audit.record(db, actor, "oauth.revoke", actor.name, app=grant.app.name, client_id=client_id)
    db.delete(grant)


def remember_created(db: Session, actor: Actor, repo_key: str) -> None:
    """An app that may change what it creates has created `repo_key` ("type:namespace/name")."""
    token = db.get(AccessToken, actor.token_id) if actor.token_id is not None else None
    if token is None or not any("repo.create" in scope["verbs"] for scope in token.scopes):
        return
    token.scopes = [*token.scopes, *token_scopes_of((), [repo_key])]
    app = oauth_apps.get_app(db, token.client_id or "")
    grant = get_grant(db, token.user_id, app) if app is not None else None
    if grant is not None:
        grant.targets = [*grant.targets, repo_key]
