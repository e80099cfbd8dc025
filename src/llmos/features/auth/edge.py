"""Request -> actor: the dependency every route declares."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import update
from sqlalchemy.orm import Session
from starlette.requests import HTTPConnection

from llmos.core import clock
from llmos.core.errors import Forbidden
from llmos.features.accounts.actor import ANONYMOUS, Actor
from llmos.features.auth.credentials import (
    TOUCH_EVERY,
    actor_for_session,
    actor_for_token,
)
from llmos.features.auth.models import AccessToken, BrowserSession
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.security.ratelimit import mark_credential_good
from llmos.infra.web.deps import get_runtime, run_read, run_write

SESSION_COOKIE = "llmos_session"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def presented_token(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The token of a Bearer header, or the password of a Basic one (git; the user name is ignored)."""
    for key, value in headers:
        if key.lower() == b"authorization":
            scheme, _, rest = value.decode("latin-1").partition(" ")
            if scheme.lower() == "bearer":
                return rest.strip() or None
            if scheme.lower() == "basic":
                return _basic_password(rest)
    return None


def _basic_password(text: str) -> str | None:
    try:
        user, _, password = base64.b64decode(text, validate=True).decode().partition(":")
    except ValueError:
        return "malformed"
    # `https://<token>@host/…` puts the token in the place of the user name.
    return password or user or None


def client_ip(request: HTTPConnection) -> str | None:
    return request.client.host if request.client else None


def load_actor(db: Session, request: HTTPConnection) -> Actor:
    """The actor of a request. A wrong token is refused (401), never treated as anonymous."""
    ip = client_ip(request)
    token = presented_token(request.headers.raw)
    if token is not None:
        return actor_for_token(db, token, ip=ip)
    secret = request.cookies.get(SESSION_COOKIE)
    if secret:
        actor = actor_for_session(db, secret, ip=ip)
        if not actor.is_anonymous:
            check_same_origin(request)
        return actor
    return dataclasses.replace(ANONYMOUS, ip=ip)


def check_same_origin(request: HTTPConnection) -> None:
    """Refuse a changing request that another site made the browser send with our cookie."""
    method = request.scope.get("method", "GET")
    if method in _SAFE_METHODS:
        return
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if origin and origin != "null":
        # Whatever stands before the host: a proxy may speak another scheme than the browser.
        if origin.partition("://")[2] == request.headers.get("host"):
            return
    elif site in ("same-origin", "none"):
        return
    raise Forbidden(lazy("This request came from another site; open the page here and try again."))


async def resolve_actor(rt: Runtime, request: HTTPConnection) -> Actor:
    """`load_actor` from async code, and note (at most every five minutes) that the credential was used."""
    actor = await run_read(rt, lambda db: load_actor(db, request))
    if not actor.is_anonymous:
        mark_credential_good(request.scope)
    await _touch(rt, actor)
    return actor


_touched: dict[tuple[Path, str, int], float] = {}


async def _touch(rt: Runtime, actor: Actor) -> None:
    key = ("token", actor.token_id) if actor.token_id else ("session", actor.session_id)
    if key[1] is None:
        return
    now = clock.now()
    known = (rt.settings.home, key[0], key[1])
    # A clock that was set back must not keep a used credential looking unused.
    if abs(now.timestamp() - _touched.get(known, 0.0)) < TOUCH_EVERY.total_seconds():
        return
    if len(_touched) > 10_000:
        _touched.clear()
    _touched[known] = now.timestamp()

    def write(db: Session) -> None:
        if actor.token_id:
            db.execute(update(AccessToken).where(AccessToken.id == actor.token_id).values(last_used_at=now))
        else:
            lasts = timedelta(days=rt.settings.session_days)
            db.execute(
                update(BrowserSession)
                .where(BrowserSession.id == actor.session_id)
                .values(last_seen_at=now, expires_at=now + lasts)
            )

    await run_write(rt, write)


async def _actor(request: Request) -> Actor:
    actor = await resolve_actor(get_runtime(request), request)
    request.state.actor = actor  # error pages greet the same person
    return actor


ActorDep = Annotated[Actor, Depends(_actor)]
