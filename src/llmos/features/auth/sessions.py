"""Browser sessions: a random secret in a cookie, its hash in a row that can be ended."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import NotFound
from llmos.core.ids import new_secret
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import User
from llmos.features.auth.models import BrowserSession
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.security.secrets import hash_secret


def create_session(
    db: Session, rt: Runtime, actor: Actor, user: User, *, user_agent: str = "", replaces: str | None = None
) -> str:
    """A new session of `user`; returns the secret for the cookie.

    The secret is always fresh, and the session the browser brought along (`replaces`) ends, so
    that nobody can prepare a session for somebody else.
    """
    if replaces:
        db.execute(delete(BrowserSession).where(BrowserSession.secret_hash == hash_secret(replaces)))
    secret = new_secret()
    db.add(
        BrowserSession(
            user_id=user.id,
            secret_hash=hash_secret(secret),
            user_agent=user_agent[:300],
            ip=actor.ip,
            expires_at=clock.now() + timedelta(days=rt.settings.session_days),
        )
    )
    audit.record(db, actor, "session.create", user.name)
    return secret


def list_sessions(db: Session, user_id: int) -> list[BrowserSession]:
    """The sessions of a person that still work, latest used first."""
    statement = (
        select(BrowserSession)
        .where(BrowserSession.user_id == user_id, BrowserSession.expires_at > clock.now())
        .order_by(BrowserSession.last_seen_at.desc(), BrowserSession.id.desc())
    )
    return list(db.scalars(statement))


def end_session(db: Session, actor: Actor, session_id: int) -> None:
    """End one's own session. Raises NotFound for anybody else's."""
    session = db.get(BrowserSession, session_id)
    if session is None or session.user_id != actor.require_user():
        raise NotFound(lazy("This session has ended already."))
    db.delete(session)
    audit.record(db, actor, "session.end", actor.name)


def end_sessions(db: Session, actor: Actor, user: User, *, keep_id: int | None = None) -> None:
    """End every session of a person, except the one that `keep_id` names."""
    statement = delete(BrowserSession).where(BrowserSession.user_id == user.id)
    if keep_id is not None:
        statement = statement.where(BrowserSession.id != keep_id)
    db.execute(statement)
    audit.record(db, actor, "session.end_all", user.name)


def remove_expired(rt: Runtime) -> None:
    """Periodic task: forget sessions that ended by time."""
    with rt.database.writing() as db:
        db.execute(delete(BrowserSession).where(BrowserSession.expires_at <= clock.now()))
