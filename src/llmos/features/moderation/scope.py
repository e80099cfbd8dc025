"""Whose queue somebody looks at: the site's, the forum's, or that of one repository."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from llmos.features.accounts.actor import Actor
from llmos.features.discussions.models import Comment, Thread
from llmos.features.moderation.limits import keeps_forum
from llmos.features.moderation.models import Case, Measure
from llmos.features.moderation.power import can_keep_repo
from llmos.features.moderation.standing import is_moderator
from llmos.features.moderation.subjects import COMMENT, THREAD, find_repo
from llmos.features.repos.models import Repo
from llmos.features.repos.naming import repo_path
from llmos.features.repos.policy import refuse
from llmos.infra.i18n import lazy

_IN_THREADS = (COMMENT, THREAD)


@dataclass(frozen=True, slots=True)
class Scope:
    """`is_site`: a moderator of the whole site. `repo`: only what is in this repository."""

    is_site: bool
    repo: Repo | None = None

    @property
    def key(self) -> str:
        """The value of the parameter `repo`: `ada/tiny-llm`, `datasets/ada/words`, or empty."""
        return repo_path(self.repo.repo_type, self.repo.repo_name)[1:] if self.repo is not None else ""


def access_scope(db: Session, actor: Actor, repo_key: str = "") -> Scope:
    """What the actor may see of the queue. Forbidden for those who keep order nowhere there;
    a private repository is not found."""
    is_site = is_moderator(db, actor)
    if repo_key:
        repo = find_repo(db, actor, repo_key)
        if not is_site and not can_keep_repo(actor, repo):
            refuse(actor, lazy("Only maintainers of %(repo)s may do this.", repo=repo.repo_name))
        return Scope(is_site, repo)
    if not is_site and not keeps_forum(db, actor):
        refuse(
            actor,
            lazy("The queue is for moderators. Maintainers open that of a repository from its settings."),
        )
    return Scope(is_site)


def cases_in(scope: Scope, actor: Actor) -> list[ColumnElement[bool]]:
    """Conditions on Case: what the actor may judge; nobody judges reports of what they wrote."""
    found: list[ColumnElement[bool]] = []
    if scope.repo is not None:
        found.append(Case.repo_id == scope.repo.id)
    elif not scope.is_site:
        found.append(Case.repo_id.is_(None))
    if not scope.is_site:
        found.append(Case.subject_kind.in_(_IN_THREADS))
    if not actor.is_admin:
        found.append(Case.owner_id.is_(None) | (Case.owner_id != actor.user_id))
    return found


def measures_in(scope: Scope) -> list[ColumnElement[bool]]:
    """Conditions on Measure: those taken in the scope."""
    if scope.repo is None and scope.is_site:
        return []
    place = Thread.repo_id == scope.repo.id if scope.repo is not None else Thread.repo_id.is_(None)
    threads = select(Thread.id).where(place)
    comments = select(Comment.id).where(Comment.thread_id.in_(threads))
    return [
        ((Measure.subject_kind == THREAD) & Measure.subject_id.in_(threads))
        | ((Measure.subject_kind == COMMENT) & Measure.subject_id.in_(comments))
    ]
