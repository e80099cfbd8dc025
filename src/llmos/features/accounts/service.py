"""What changes people: creating, disabling, profiles, quotas, following."""

from __future__ import annotations

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, Conflict
from llmos.core.names import name_key
from llmos.features.accounts import audit, checks
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Follow, Namespace, User
from llmos.features.accounts.policy import check_can_edit, check_is_admin, get_namespace
from llmos.infra.db.upsert import insert_missing
from llmos.infra.i18n import lazy
from llmos.infra.queue.outbox import emit


def take_name(db: Session, name: str, kind: str, fullname: str) -> Namespace:
    """Reserve a name for a person or organisation. Raises BadRequest, Conflict when taken."""
    checks.check_name(name)
    if get_namespace(db, name) is not None:
        raise Conflict(lazy("The name %(name)s is taken.", name=name), data={"field": "name"})
    namespace = Namespace(
        kind=kind, name=name, name_key=name_key(name), fullname=checks.check_fullname(fullname)
    )
    try:
        with db.begin_nested():
            db.add(namespace)
    except IntegrityError as error:
        raise Conflict(lazy("The name %(name)s is taken.", name=name), data={"field": "name"}) from error
    return namespace


def check_email_free(db: Session, email: str | None, *, owner_id: int | None = None) -> None:
    """Refuse (Conflict) an address another account has."""
    if email is None:
        return
    taken_by = db.scalar(select(User.id).where(User.email_key == email.lower()))
    if taken_by is not None and taken_by != owner_id:
        raise Conflict(
            lazy("This mail address cannot be used: give another one or none."), data={"field": "email"}
        )


def create_user(
    db: Session,
    actor: Actor,
    *,
    name: str,
    fullname: str = "",
    email: str | None = None,
    password_hash: str | None = None,
    is_admin: bool = False,
) -> User:
    """Create a person. Whether `actor` may (sign-up, invitation, admin) is for the caller to check.

    Raises BadRequest for malformed values, Conflict for a taken name or address; both say the field.
    """
    email = checks.check_email(email)
    namespace = take_name(db, name, "user", fullname)
    check_email_free(db, email)
    user = User(
        id=namespace.id,
        namespace=namespace,
        email=email,
        email_key=email.lower() if email else None,
        password_hash=password_hash,
        is_admin=is_admin,
    )
    db.add(user)
    db.flush()
    audit.record(db, actor, "user.create", namespace.name, is_admin=is_admin)
    return user


def _check_not_last_admin(db: Session, user: User) -> None:
    others = select(func.count()).where(
        User.is_admin.is_(True), User.disabled_at.is_(None), User.id != user.id
    )
    if user.is_admin and not db.scalar(others):
        raise Conflict(lazy("%(name)s is the last administrator: make another one first.", name=user.name))


def disable_user(db: Session, actor: Actor, user: User) -> None:
    """Refuse every credential of a person from now on. Raises Forbidden, Conflict (last admin)."""
    check_is_admin(actor)
    if user.disabled_at is not None:
        return
    _check_not_last_admin(db, user)
    user.disabled_at = clock.now()
    audit.record(db, actor, "user.disable", user.name)


def enable_user(db: Session, actor: Actor, user: User) -> None:
    """Let a disabled person in again; their tokens and sessions work as before."""
    check_is_admin(actor)
    if user.disabled_at is None:
        return
    user.disabled_at = None
    audit.record(db, actor, "user.enable", user.name)


def change_admin(db: Session, actor: Actor, user: User, *, is_admin: bool) -> None:
    """Give or take the rights of a site administrator. Raises Forbidden, Conflict (last admin)."""
    check_is_admin(actor)
    if user.is_admin == is_admin:
        return
    if not is_admin:
        _check_not_last_admin(db, user)
    user.is_admin = is_admin
    audit.record(db, actor, "user.admin", user.name, is_admin=is_admin)


def change_quota(db: Session, actor: Actor, namespace: Namespace, quota_bytes: int | None) -> None:
    """Set how much a namespace may store; None returns to the site's default, 0 lifts the limit."""
    check_is_admin(actor)
    if quota_bytes is not None and not 0 <= quota_bytes < 2**62:
        raise BadRequest(lazy("The quota must be zero or more bytes."), data={"field": "quota"})
    namespace.quota_bytes = quota_bytes
    audit.record(db, actor, "quota.change", namespace.name, quota_bytes=quota_bytes)


def change_profile(
    db: Session, actor: Actor, namespace: Namespace, *, fullname: str, details: str, website: str
) -> None:
    """Change what the profile page of a person or organisation says. Raises Forbidden, BadRequest."""
    check_can_edit(actor, namespace)
    namespace.fullname = checks.check_fullname(fullname)
    namespace.details = checks.check_details(details)
    namespace.website = checks.check_website(website)


def change_email(db: Session, actor: Actor, user: User, email: str | None) -> bool:
    """Change a person's address; True if it is a new one, which is not verified yet."""
    check_can_edit(actor, user.namespace)
    email = checks.check_email(email)
    if email == user.email:
        return False
    check_email_free(db, email, owner_id=user.id)
    user.email = email
    user.email_key = email.lower() if email else None
    user.email_verified_at = None
    audit.record(db, actor, "user.email", user.name)
    return email is not None


def follow(db: Session, actor: Actor, namespace: Namespace) -> None:
    """Follow a person or an organisation; repeating it changes nothing. Raises BadRequest for oneself."""
    actor.check_account_write()
    follower_id = actor.require_user()
    if namespace.id == follower_id:
        raise BadRequest(lazy("Nobody can follow themselves."))
    row = {"follower_id": follower_id, "namespace_id": namespace.id, "created_at": clock.now()}
    if insert_missing(db, Follow, [row]):
        emit(db, "UserFollowed", {"follower_id": follower_id, "namespace_id": namespace.id})


def unfollow(db: Session, actor: Actor, namespace: Namespace) -> None:
    actor.check_account_write()
    follower_id = actor.require_user()
    db.execute(delete(Follow).where(Follow.follower_id == follower_id, Follow.namespace_id == namespace.id))
