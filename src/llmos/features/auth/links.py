"""One-time links: claiming the first admin account, resetting a password, verifying an address."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import Conflict, NotFound
from llmos.core.ids import new_secret
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import User
from llmos.features.accounts.policy import check_is_admin
from llmos.features.accounts.queries import get_user_by_login, has_admin
from llmos.features.auth.models import OneTimeLink
from llmos.infra.i18n import lazy, localize, negotiate_locale
from llmos.infra.mail.outgoing import queue_mail
from llmos.infra.mail.smtp import Mail
from llmos.infra.runtime import Runtime
from llmos.infra.security.secrets import hash_secret
from llmos.infra.web.urls import site_url

CLAIM_ADMIN = "claim_admin"
PASSWORD_RESET = "password_reset"
VERIFY_EMAIL = "verify_email"
_LASTS = {
    CLAIM_ADMIN: timedelta(days=7),
    PASSWORD_RESET: timedelta(hours=24),
    VERIFY_EMAIL: timedelta(days=7),
}
_PATHS = {CLAIM_ADMIN: "/-/claim", PASSWORD_RESET: "/-/reset", VERIFY_EMAIL: "/-/verify"}


def _create(db: Session, rt: Runtime, purpose: str, user: User | None = None, **data: str) -> str:
    """The address of a new link; earlier ones for the same purpose and person stop working."""
    older = delete(OneTimeLink).where(OneTimeLink.purpose == purpose, OneTimeLink.used_at.is_(None))
    db.execute(older.where(OneTimeLink.user_id == user.id if user else OneTimeLink.user_id.is_(None)))
    secret = new_secret()
    db.add(
        OneTimeLink(
            purpose=purpose,
            secret_hash=hash_secret(secret),
            user_id=user.id if user else None,
            data=data,
            expires_at=clock.now() + _LASTS[purpose],
        )
    )
    return f"{site_url(rt.settings)}{_PATHS[purpose]}/{secret}"


def create_claim_link(db: Session, rt: Runtime) -> str:
    """The address that makes its first visitor the administrator. Raises Conflict if there is one."""
    if has_admin(db):
        raise Conflict(lazy("This instance has an administrator: sign in, or use 'llmos user reset-link'."))
    return _create(db, rt, CLAIM_ADMIN)


def create_reset_link(db: Session, rt: Runtime, actor: Actor, user: User) -> str:
    """The address at which a person sets a new password, for an admin to pass on. Raises Forbidden."""
    check_is_admin(actor)
    audit.record(db, actor, "password.reset_link", user.name)
    return _create(db, rt, PASSWORD_RESET, user)


def request_reset(db: Session, rt: Runtime, actor: Actor, login: str) -> None:
    """Mail a reset link if that person exists and has an address; never says whether."""
    user = get_user_by_login(db, login)
    if user is None or user.email is None or user.disabled_at is not None or not rt.settings.smtp_url:
        return
    url = _create(db, rt, PASSWORD_RESET, user)
    audit.record(db, actor, "password.reset_link", user.name)
    text = lazy(
        "Hello %(name)s,\n\nopen this address to set a new password on %(site)s:\n\n%(url)s\n\n"
        "It works once, within 24 hours. If you did not ask for it, ignore this mail.\n",
        name=user.fullname,
        site=rt.settings.site_name,
        url=url,
    )
    _mail(db, rt, user, lazy("A new password on %(site)s", site=rt.settings.site_name), text)


def send_verification(db: Session, rt: Runtime, user: User) -> None:
    """Mail a link that proves the address; nothing where mail is not set up or no address is given."""
    if user.email is None or not rt.settings.smtp_url:
        return
    url = _create(db, rt, VERIFY_EMAIL, user, email=user.email)
    text = lazy(
        "Hello %(name)s,\n\nopen this address to confirm that this mail address is yours on "
        "%(site)s:\n\n%(url)s\n\nIf you have no account there, ignore this mail.\n",
        name=user.fullname,
        site=rt.settings.site_name,
        url=url,
    )
    _mail(db, rt, user, lazy("Confirm your mail address on %(site)s", site=rt.settings.site_name), text)


def _mail(db: Session, rt: Runtime, user: User, subject: str, text: str) -> None:
    locale = negotiate_locale(None, rt.settings.default_locale, user.locale)
    assert user.email
    queue_mail(db, Mail(user.email, localize(subject, locale), localize(text, locale)))


def access_link(db: Session, purpose: str, secret: str) -> OneTimeLink:
    """The link, if it can still be used. Raises NotFound, with one answer for every reason."""
    found = db.scalar(
        select(OneTimeLink).where(
            OneTimeLink.secret_hash == hash_secret(secret), OneTimeLink.purpose == purpose
        )
    )
    if found is None or found.used_at is not None or found.expires_at <= clock.now():
        raise NotFound(lazy("This link is used or out of date: ask for a new one."))
    return found


def access_claim(db: Session, secret: str) -> OneTimeLink:
    """The claim link; NotFound also when an administrator exists by now."""
    link = access_link(db, CLAIM_ADMIN, secret)
    if has_admin(db):
        raise NotFound(lazy("This link is used or out of date: ask for a new one."))
    return link


def access_user(db: Session, purpose: str, secret: str) -> User:
    """The person a link belongs to. Raises NotFound as `access_link`."""
    link = access_link(db, purpose, secret)
    user = db.get(User, link.user_id)
    if user is None or user.disabled_at is not None:
        raise NotFound(lazy("This link is used or out of date: ask for a new one."))
    return user


def use(link: OneTimeLink) -> None:
    link.used_at = clock.now()


def verify_email(db: Session, actor: Actor, secret: str) -> None:
    """Mark the address as proven, if it is still the person's. Raises NotFound."""
    user = access_user(db, VERIFY_EMAIL, secret)
    link = access_link(db, VERIFY_EMAIL, secret)
    if user.email != link.data.get("email"):
        raise NotFound(lazy("This link is used or out of date: ask for a new one."))
    use(link)
    user.email_verified_at = clock.now()
    audit.record(db, actor, "email.verify", user.name)
