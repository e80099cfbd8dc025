"""Signing in with a password, signing up, and changing passwords.

Hashing takes tens of milliseconds, so these functions take the runtime and open their own short
transactions around it; each is one change, committed when it returns.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest, Forbidden, NotFound, Unauthenticated
from llmos.features.accounts import audit, checks, invitations
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import User
from llmos.features.accounts.queries import get_user_by_login
from llmos.features.accounts.service import create_user
from llmos.features.auth import links, sessions
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.security.passwords import (
    check_password,
    hash_password,
    is_password_right,
    needs_rehash,
)


@dataclass(frozen=True)
class NewPerson:
    """What somebody enters to get an account."""

    name: str
    password: str
    fullname: str = ""
    email: str | None = None


@dataclass(frozen=True)
class Browser:
    """Where a session is asked from: `old_secret` is the cookie it brought, if any."""

    user_agent: str = ""
    old_secret: str | None = None


def names_of(name: str, email: str | None) -> tuple[str, ...]:
    """What a person's password may not be."""
    return (name, email or "", (email or "").partition("@")[0])


def sign_in(rt: Runtime, actor: Actor, login: str, password: str, browser: Browser) -> str:
    """The secret of a new session. One Unauthenticated for unknown, disabled and wrong password alike."""
    with rt.database.reading() as db:
        user = get_user_by_login(db, login)
        stored = user.password_hash if user and user.disabled_at is None else None
    if not is_password_right(password, stored) or user is None or stored is None:
        raise Unauthenticated(lazy("The name or the password is not right."), data={"field": "password"})
    fresh_hash = hash_password(password) if needs_rehash(stored) else None
    with rt.database.writing() as db:
        found = db.get_one(User, user.id)
        if found.password_hash != stored or found.disabled_at is not None:
            raise Unauthenticated(lazy("The name or the password is not right."), data={"field": "password"})
        found.password_hash = fresh_hash or stored
        return _open_session(db, rt, actor, found, browser)


def sign_up(
    rt: Runtime, actor: Actor, person: NewPerson, browser: Browser, *, invitation: str | None = None
) -> str:
    """Create an account as the setting `signup` allows and sign it in.

    Raises Forbidden when sign-up is closed or wants an invitation, BadRequest and Conflict with
    the field, NotFound for a used invitation.
    """
    check_can_sign_up(rt, invitation)
    password_hash = _checked_hash(person)
    with rt.database.writing() as db:
        opened = invitations.access_by_secret(db, invitation) if invitation else None
        if opened is not None and opened.org_id is not None and rt.settings.signup != "open":
            raise Forbidden(lazy("Sign-up on this site needs an invitation: ask an administrator."))
        user = _create(db, actor, person, password_hash)
        if opened is not None:
            invitations.accept(db, actor, opened, user)
        links.send_verification(db, rt, user)
        return _open_session(db, rt, actor, user, browser)


def check_can_sign_up(rt: Runtime, invitation: str | None) -> None:
    if rt.settings.signup == "closed":
        raise Forbidden(lazy("Sign-up is closed on this site: ask an administrator for an account."))
    if rt.settings.signup == "invite" and not invitation:
        raise Forbidden(lazy("Sign-up on this site needs an invitation: ask an administrator."))


def claim_admin(rt: Runtime, actor: Actor, secret: str, person: NewPerson, browser: Browser) -> str:
    """Create the first administrator by the link of `links.create_claim_link` and sign in.

    Raises NotFound for a link that is used, old, or pointless because an administrator exists.
    """
    with rt.database.reading() as db:
        links.access_claim(db, secret)
    password_hash = _checked_hash(person)
    with rt.database.writing() as db:
        links.use(links.access_claim(db, secret))
        user = _create(db, actor, person, password_hash, is_admin=True)
        audit.record(db, actor, "admin.claim", user.name)
        return _open_session(db, rt, actor, user, browser)


def change_password(rt: Runtime, actor: Actor, old: str, new: str) -> None:
    """Change one's own password; every other session ends. Raises Forbidden, BadRequest with the field."""
    actor.check_account_write()
    user_id = actor.require_user()
    with rt.database.reading() as db:
        stored = db.get_one(User, user_id).password_hash
    if stored is not None and not is_password_right(old, stored):
        raise Forbidden(lazy("The present password is not right."), data={"field": "old_password"})
    check_password(new, names=names_of(actor.name, actor.email))
    password_hash = hash_password(new)
    with rt.database.writing() as db:
        user = db.get_one(User, user_id)
        user.password_hash = password_hash
        sessions.end_sessions(db, actor, user, keep_id=actor.session_id)
        audit.record(db, actor, "password.change", user.name)


def reset_password(rt: Runtime, actor: Actor, secret: str, new: str) -> None:
    """Set a password by a reset link; every session ends. Raises NotFound, BadRequest."""
    with rt.database.reading() as db:
        user = links.access_user(db, links.PASSWORD_RESET, secret)
    check_password(new, names=names_of(user.name, user.email))
    password_hash = hash_password(new)
    with rt.database.writing() as db:
        link = links.access_link(db, links.PASSWORD_RESET, secret)
        found = db.get(User, link.user_id)
        if found is None:
            raise NotFound(lazy("This link is used or out of date: ask for a new one."))
        links.use(link)
        found.password_hash = password_hash
        sessions.end_sessions(db, actor, found)
        audit.record(db, actor, "password.reset", found.name)


def create_user_with_password(
    rt: Runtime, actor: Actor, person: NewPerson, *, is_admin: bool = False
) -> User:
    """An account made by an administrator. An empty password makes one that cannot sign in yet."""
    if not actor.is_admin:
        raise Forbidden(lazy("Only an administrator of this site may do this."))
    password_hash = _checked_hash(person) if person.password else None
    with rt.database.writing() as db:
        return _create(db, actor, person, password_hash, is_admin=is_admin)


def _checked_hash(person: NewPerson) -> str:
    # The name first: it is the first field of the form, and hashing is the dear part.
    checks.check_name(person.name)
    email = checks.check_email(person.email)
    if not person.password:
        raise BadRequest(lazy("Choose a password."), data={"field": "password"})
    check_password(person.password, names=names_of(person.name, email))
    return hash_password(person.password)


def _create(
    db: Session, actor: Actor, person: NewPerson, password_hash: str | None, *, is_admin: bool = False
) -> User:
    return create_user(
        db,
        actor,
        name=person.name,
        fullname=person.fullname,
        email=person.email,
        password_hash=password_hash,
        is_admin=is_admin,
    )


def _open_session(db: Session, rt: Runtime, actor: Actor, user: User, browser: Browser) -> str:
    return sessions.create_session(
        db, rt, actor, user, user_agent=browser.user_agent, replaces=browser.old_secret
    )
