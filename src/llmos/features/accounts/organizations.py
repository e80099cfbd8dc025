"""What changes organisations and who belongs to them."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest, Conflict, Forbidden, NotFound
from llmos.features.accounts import audit, checks
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Membership, Organization, Role, User
from llmos.features.accounts.policy import check_can_manage, check_is_admin
from llmos.features.accounts.service import take_name
from llmos.infra.i18n import lazy


def check_role(role: str) -> Role:
    """The role of that name; BadRequest lists the roles."""
    try:
        return Role(role)
    except ValueError:
        raise BadRequest(
            lazy("The role must be one of: %(roles)s.", roles=", ".join(Role)), data={"field": "role"}
        ) from None


def create_org(
    db: Session,
    actor: Actor,
    *,
    name: str,
    owner: User,
    fullname: str = "",
    default_visibility: str = "public",
) -> Organization:
    """Create an organisation whose first admin is `owner`.

    Raises Forbidden when a person names another owner than themselves, BadRequest, Conflict.
    """
    actor.check_account_write()
    if actor.user_id != owner.id and not actor.is_admin:
        raise Forbidden(lazy("You can create organisations only for yourself."))
    checks.check_visibility(default_visibility)
    namespace = take_name(db, name, "org", fullname)
    org = Organization(
        id=namespace.id,
        namespace=namespace,
        default_visibility=default_visibility,
        created_by_id=owner.id,
    )
    db.add(org)
    db.flush()
    db.add(Membership(org_id=org.id, user_id=owner.id, role=Role.ADMIN.value))
    db.flush()
    audit.record(db, actor, "org.create", namespace.name, owner=owner.name)
    return org


def change_default_visibility(db: Session, actor: Actor, org: Organization, visibility: str) -> None:
    """How new repositories of the organisation start. Raises Forbidden, BadRequest."""
    check_can_manage(actor, org)
    org.default_visibility = checks.check_visibility(visibility)
    audit.record(db, actor, "org.visibility", org.name, default_visibility=visibility)


def get_membership(db: Session, org: Organization, user: User) -> Membership | None:
    return db.get(Membership, (org.id, user.id))


def add_member(db: Session, actor: Actor, org: Organization, user: User, role: str) -> Membership:
    """Make a person a member at once; only site admins may (others invite). Raises Forbidden, Conflict."""
    check_is_admin(actor)
    return join(db, actor, org, user, check_role(role))


def join(db: Session, actor: Actor, org: Organization, user: User, role: Role) -> Membership:
    """Add the membership; the caller has checked the invitation. Raises Conflict for a member."""
    if get_membership(db, org, user) is not None:
        raise Conflict(
            lazy("%(user)s is already a member of %(org)s.", user=user.name, org=org.name),
            data={"field": "user"},
        )
    membership = Membership(org_id=org.id, user_id=user.id, role=role.value)
    db.add(membership)
    db.flush()
    audit.record(db, actor, "member.add", org.name, user=user.name, role=role.value)
    return membership


def _access_membership(db: Session, org: Organization, user: User) -> Membership:
    membership = get_membership(db, org, user)
    if membership is None:
        raise NotFound(lazy("%(user)s is not a member of %(org)s.", user=user.name, org=org.name))
    return membership


def _check_not_last_admin(db: Session, org: Organization, membership: Membership) -> None:
    others = select(func.count()).where(
        Membership.org_id == org.id,
        Membership.role == Role.ADMIN.value,
        Membership.user_id != membership.user_id,
    )
    if membership.role == Role.ADMIN and not db.scalar(others):
        raise Conflict(lazy("%(org)s needs an admin: give another member that role first.", org=org.name))


def change_role(db: Session, actor: Actor, org: Organization, user: User, role: str) -> None:
    """Raises Forbidden, NotFound for a stranger, Conflict when no admin would be left."""
    check_can_manage(actor, org)
    membership = _access_membership(db, org, user)
    wanted = check_role(role)
    if wanted != Role.ADMIN:
        _check_not_last_admin(db, org, membership)
    membership.role = wanted.value
    audit.record(db, actor, "member.role", org.name, user=user.name, role=wanted.value)


def remove_member(db: Session, actor: Actor, org: Organization, user: User) -> None:
    """End a membership: an admin's decision, or one's own leaving. Raises as `change_role`."""
    actor.check_account_write()
    if actor.user_id != user.id:
        check_can_manage(actor, org)
    membership = _access_membership(db, org, user)
    _check_not_last_admin(db, org, membership)
    db.delete(membership)
    db.flush()
    audit.record(db, actor, "member.remove", org.name, user=user.name)
