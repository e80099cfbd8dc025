"""Invitations: into an organisation (by name or by link), and to this site (by link)."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import Conflict, Forbidden, NotFound
from llmos.core.ids import new_secret
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Invitation, Membership, Organization, User
from llmos.features.accounts.organizations import check_role, get_membership, join
from llmos.features.accounts.policy import check_can_manage, check_is_admin
from llmos.infra.i18n import lazy
from llmos.infra.security.secrets import hash_secret

LASTS = timedelta(days=7)


def _gone() -> NotFound:
    return NotFound(lazy("This invitation is used, withdrawn or out of date: ask for a new one."))


def _new_invitation(db: Session, actor: Actor, **values: object) -> tuple[Invitation, str]:
    secret = new_secret()
    invitation = Invitation(
        secret_hash=hash_secret(secret),
        created_by_id=actor.user_id,
        expires_at=clock.now() + LASTS,
        **values,
    )
    db.add(invitation)
    db.flush()
    return invitation, secret


def create_site_invitation(db: Session, actor: Actor, *, email: str | None = None) -> str:
    """The secret of a link that lets one person sign up. Only admins; Forbidden otherwise."""
    check_is_admin(actor)
    _, secret = _new_invitation(db, actor, email=email)
    audit.record(db, actor, "invitation.create", "site", email=email)
    return secret


def create_org_invitation(db: Session, actor: Actor, org: Organization, role: str) -> str:
    """The secret of a link that lets one person join with `role`. Raises Forbidden, BadRequest."""
    check_can_manage(actor, org)
    _, secret = _new_invitation(db, actor, org_id=org.id, role=check_role(role).value)
    audit.record(db, actor, "invitation.create", org.name, role=role)
    return secret


def invite_user(db: Session, actor: Actor, org: Organization, user: User, role: str) -> Invitation:
    """Ask a person of this site to join. Raises Forbidden, BadRequest, Conflict for a member."""
    check_can_manage(actor, org)
    wanted = check_role(role)
    if get_membership(db, org, user) is not None:
        raise Conflict(
            lazy("%(user)s is already a member of %(org)s.", user=user.name, org=org.name),
            data={"field": "user"},
        )
    for older in list_for_user(db, user):
        if older.org_id == org.id:
            db.delete(older)
    invitation, _ = _new_invitation(db, actor, org_id=org.id, role=wanted.value, invitee_id=user.id)
    audit.record(db, actor, "invitation.create", org.name, user=user.name, role=role)
    return invitation


def access_by_secret(db: Session, secret: str) -> Invitation:
    """The open invitation of a link; NotFound when used, withdrawn, declined or too old."""
    found = db.scalar(select(Invitation).where(Invitation.secret_hash == hash_secret(secret)))
    return _open(found)


def access_by_id(db: Session, actor: Actor, invitation_id: int) -> Invitation:
    """The open invitation addressed to the actor by name; NotFound otherwise."""
    found = _open(db.get(Invitation, invitation_id))
    if actor.user_id is None or found.invitee_id != actor.user_id:
        raise _gone()
    return found


def _open(invitation: Invitation | None) -> Invitation:
    if invitation is None or invitation.accepted_at or invitation.expires_at <= clock.now():
        raise _gone()
    return invitation


def accept(db: Session, actor: Actor, invitation: Invitation, user: User) -> Membership | None:
    """Use the invitation up; a membership follows if it was one of an organisation.

    Raises Forbidden for an invitation addressed to somebody else, Conflict for a member.
    """
    if invitation.invitee_id not in (None, user.id):
        raise Forbidden(lazy("This invitation is for somebody else."))
    membership = None
    if invitation.org_id is not None:
        org = db.get(Organization, invitation.org_id)
        if org is None:
            raise _gone()
        membership = join(db, actor, org, user, check_role(invitation.role or "read"))
    invitation.accepted_at = clock.now()
    invitation.accepted_by_id = user.id
    return membership


def decline(db: Session, actor: Actor, invitation: Invitation) -> None:
    """Refuse an invitation addressed to the actor; it is gone afterwards."""
    if invitation.invitee_id is None or invitation.invitee_id != actor.user_id:
        raise Forbidden(lazy("This invitation is for somebody else."))
    db.delete(invitation)


def withdraw(db: Session, actor: Actor, org: Organization, invitation_id: int) -> None:
    """Take an open invitation of the organisation back. Raises Forbidden, NotFound."""
    check_can_manage(actor, org)
    invitation = db.get(Invitation, invitation_id)
    if invitation is None or invitation.org_id != org.id or invitation.accepted_at:
        raise _gone()
    db.delete(invitation)
    audit.record(db, actor, "invitation.withdraw", org.name)


def list_for_user(db: Session, user: User) -> list[Invitation]:
    """Open invitations addressed to a person, newest first."""
    return _list_open(db, Invitation.invitee_id == user.id)


def list_for_org(db: Session, org: Organization) -> list[Invitation]:
    """Open invitations of an organisation, newest first."""
    return _list_open(db, Invitation.org_id == org.id)


def _list_open(db: Session, condition: object) -> list[Invitation]:
    statement = (
        select(Invitation)
        .where(condition, Invitation.accepted_at.is_(None))  # type: ignore[arg-type]
        .where(Invitation.expires_at > clock.now())
        .order_by(Invitation.id.desc())
    )
    return list(db.scalars(statement))
