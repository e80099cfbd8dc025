"""Apps that people may let in: registered by their owners, by name and the addresses they return to."""

from __future__ import annotations

import hmac
import re
import uuid
from collections.abc import Sequence
from urllib.parse import urlsplit

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.ids import new_secret
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.auth.models import AccessToken, OAuthApp
from llmos.infra.i18n import lazy
from llmos.infra.security.secrets import hash_secret

MAX_APPS = 50
MAX_URIS = 20
MAX_URI_CHARS = 1000
# The one parameter that may follow a registered address; `//` and the like would lead to another site.
_TARGET = re.compile(
    r"(?<=[^?#])\?_target_url=(?:%2F|/)(?!%2F|/|%5C|%0)[A-Za-z0-9%._~+/?=:-]*\Z", re.IGNORECASE
)
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
# RFC 8252, section 7.1: programs use a scheme that is the reverse of a domain of theirs.
_OWN_SCHEME = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+")


def create_app(
    db: Session, actor: Actor, *, name: str, redirect_uris: Sequence[str], homepage: str = "", is_public: bool
) -> tuple[OAuthApp, str | None]:
    """Register an app and answer it with its secret, which cannot be read again (None if public).

    Raises BadRequest with the field, Conflict past MAX_APPS, Forbidden for a narrow token.
    """
    actor.check_account_write()
    owner_id = actor.require_user()
    count = db.scalar(select(func.count()).where(OAuthApp.owner_id == owner_id)) or 0
    if count >= MAX_APPS:
        raise Conflict(lazy("You have %(limit)s apps already: delete one first.", limit=MAX_APPS))
    secret = None if is_public else new_secret()
    app = OAuthApp(
        client_id=str(uuid.uuid4()),
        owner_id=owner_id,
        name=_check_name(name),
        homepage=_check_homepage(homepage),
        redirect_uris=_check_uris(redirect_uris),
        secret_hash=hash_secret(secret) if secret else None,
    )
    db.add(app)
    db.flush()
    audit.record(db, actor, "oauth_app.create", app.name, client_id=app.client_id, uris=app.redirect_uris)
    return app, secret


def edit_app(
    db: Session, actor: Actor, app: OAuthApp, *, name: str, redirect_uris: Sequence[str], homepage: str = ""
) -> None:
    actor.check_account_write()
    app.name, app.homepage = _check_name(name), _check_homepage(homepage)
    app.redirect_uris = _check_uris(redirect_uris)
    audit.record(db, actor, "oauth_app.change", app.name, client_id=app.client_id, uris=app.redirect_uris)


def renew_secret(db: Session, actor: Actor, app: OAuthApp) -> str:
    """A new secret; the old one is refused at once. Raises BadRequest for a public app."""
    actor.check_account_write()
    if not app.is_confidential:
        raise BadRequest(lazy("A public app has no secret: register a confidential one."))
    secret = new_secret()
    app.secret_hash = hash_secret(secret)
    audit.record(db, actor, "oauth_app.secret", app.name, client_id=app.client_id)
    return secret


def delete_app(db: Session, actor: Actor, app: OAuthApp) -> None:
    """The app and everything it was allowed; all its tokens are refused from now on."""
    actor.check_account_write()
    revoke_tokens(db, app.client_id)
    audit.record(db, actor, "oauth_app.delete", app.name, client_id=app.client_id)
    db.delete(app)


def revoke_tokens(db: Session, client_id: str, user_id: int | None = None) -> None:
    """End the tokens of an app: of one person, or of everybody."""
    statement = update(AccessToken).where(
        AccessToken.client_id == client_id, AccessToken.revoked_at.is_(None)
    )
    if user_id is not None:
        statement = statement.where(AccessToken.user_id == user_id)
    db.execute(statement.values(revoked_at=clock.now(), refresh_hash=None))


def list_apps(db: Session, actor: Actor) -> list[OAuthApp]:
    statement = select(OAuthApp).where(OAuthApp.owner_id == actor.require_user())
    return list(db.scalars(statement.order_by(OAuthApp.id.desc())))


def get_app(db: Session, client_id: str) -> OAuthApp | None:
    """The app of a client id; None if there is none or its owner may not sign in any more."""
    app = db.scalar(select(OAuthApp).where(OAuthApp.client_id == client_id))
    return app if app is not None and app.owner.disabled_at is None else None


def access_own_app(db: Session, actor: Actor, client_id: str) -> OAuthApp:
    """One's own app. Raises NotFound."""
    app = get_app(db, client_id)
    if app is None or app.owner_id != actor.require_user():
        raise NotFound(lazy("You have no app with this client id."))
    return app


def is_secret_right(app: OAuthApp, secret: str) -> bool:
    return app.secret_hash is not None and hmac.compare_digest(app.secret_hash, hash_secret(secret))


def is_registered(app: OAuthApp, uri: str) -> bool:
    """Whether an app may be answered at `uri`: one of its own, exactly.

    On the person's own machine a program may listen on any port (RFC 8252, section 7.3). Apps that use
    `attach_huggingface_oauth` add where the visitor came from, as a path of their own site.
    """
    asked = {uri, _TARGET.sub("", uri)}
    return any(one == known or _is_same_loopback(known, one) for known in app.redirect_uris for one in asked)


def _is_same_loopback(known: str, uri: str) -> bool:
    try:
        ours, theirs = urlsplit(known), urlsplit(uri)
        hosts = (ours.hostname, theirs.hostname, theirs.port)
    except ValueError:
        return False
    if not (ours.scheme == theirs.scheme == "http" and hosts[0] == hosts[1] and hosts[0] in _LOOPBACK):
        return False
    plain = "@" not in theirs.netloc and not theirs.fragment
    return plain and (ours.path, ours.query) == (theirs.path, theirs.query)


def _check_name(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > 80 or not name.isprintable():
        raise BadRequest(
            lazy("Give the app a name of at most %(count)d characters.", count=80), data={"field": "name"}
        )
    return name


def _check_homepage(homepage: str) -> str:
    if homepage and (not homepage.startswith(("https://", "http://")) or len(homepage) > 300):
        raise BadRequest(
            lazy("The home page must be an address that begins with https:// or http://."),
            data={"field": "homepage"},
        )
    return homepage


def _check_uris(uris: Sequence[str]) -> list[str]:
    found = list(dict.fromkeys(uri.strip() for uri in uris if uri.strip()))
    if not 1 <= len(found) <= MAX_URIS:
        raise BadRequest(
            lazy("Name from 1 to %(count)d addresses the app returns to, one a line.", count=MAX_URIS),
            data={"field": "redirect_uris"},
        )
    for uri in found:
        if not _is_acceptable(uri):
            raise BadRequest(
                lazy(
                    "%(uri)s cannot be returned to: use https:// or http:// with a host and no '#', or a "
                    "scheme of your own such as org.example.app:/signed-in.",
                    uri=uri[:200],
                ),
                data={"field": "redirect_uris"},
            )
    return found


def _is_acceptable(uri: str) -> bool:
    if len(uri) > MAX_URI_CHARS or "#" in uri or "\\" in uri or not uri.isascii():
        return False
    if any(ord(char) <= 0x20 or ord(char) == 0x7F for char in uri):
        return False
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return False
    if parts.scheme in ("http", "https"):
        return bool(parts.hostname) and "@" not in parts.netloc
    return bool(_OWN_SCHEME.fullmatch(parts.scheme))
