"""Who may judge what. Moderators of the site judge everything, maintainers what is in their repository."""

from __future__ import annotations

from sqlalchemy.orm import Session

from llmos.core.errors import Conflict, Forbidden
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import User
from llmos.features.discussions.policy import can_moderate
from llmos.features.moderation.limits import keeps_forum
from llmos.features.moderation.models import Standing
from llmos.features.moderation.standing import is_moderator
from llmos.features.moderation.subjects import Subject
from llmos.features.repos.models import Repo
from llmos.features.repos.policy import can_admin, can_write, refuse
from llmos.infra.i18n import lazy


def check_moderator(db: Session, actor: Actor) -> None:
    """Forbidden for all but the moderators of the site; Unauthenticated for visitors."""
    if not is_moderator(db, actor):
        refuse(actor, lazy("Only the moderators of this site may do this."))


def can_judge(db: Session, actor: Actor, subject: Subject) -> bool:
    """May hide, lock and judge reports of this thing; nobody judges reports of what they wrote."""
    if actor.user_id is not None and subject.owner_id == actor.user_id and not actor.is_admin:
        return False
    if is_moderator(db, actor):
        return True
    if subject.thread is None:
        return False
    if subject.thread.repo is None:
        return keeps_forum(db, actor)
    return can_moderate(db, actor, subject.thread)


def check_can_judge(db: Session, actor: Actor, subject: Subject) -> None:
    if not can_judge(db, actor, subject):
        refuse(actor, lazy("Only moderators, and the maintainers of the repository, may do this."))


def can_keep_repo(actor: Actor, repo: Repo) -> bool:
    """May see the reports of what is in a repository, and block people from its discussions."""
    return can_write(actor, repo) or can_admin(actor, repo)


def check_can_sanction(db: Session, actor: Actor, user: User) -> None:
    """Moderators sanction people, only administrators moderators; nobody an administrator or themselves."""
    check_moderator(db, actor)
    if user.id == actor.user_id:
        raise Conflict(lazy("Nobody can sanction themselves."))
    if user.is_admin:
        raise Forbidden(lazy("An administrator cannot be sanctioned: take that role away first."))
    row = db.get(Standing, user.id)
    if row is not None and row.is_moderator and not actor.is_admin:
        raise Forbidden(lazy("Only an administrator can sanction a moderator."))
