"""Everything read about notifications."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, joinedload

from llmos.core.pagination import Page, check_limit, decode_cursor, make_page
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import User
from llmos.features.discussions.models import Thread
from llmos.features.notifications.models import Notification
from llmos.features.repos.cursors import cursor_int
from llmos.features.repos.models import Repo
from llmos.features.repos.visibility import visible_to
from llmos.infra.runtime import Runtime

PAGE_SIZE = 30
# The bell says 99+ above this, so nobody counts further.
MAX_COUNTED = 100


@dataclass(frozen=True, slots=True)
class RepoCount:
    """How many unread notifications a repository has."""

    repo: Repo
    unread: int


def _unread_of(user_id: Any) -> Select[Any]:
    # Counted inside a limit: whoever has thousands costs no more than a hundred.
    unread = (
        select(Notification.id)
        .outerjoin(Thread, Thread.id == Notification.thread_id)
        .where(Notification.user_id == user_id, Notification.read_at.is_(None), Thread.hidden_at.is_(None))
        .correlate(User)
        .limit(MAX_COUNTED)
    )
    return select(func.count()).select_from(unread.subquery())


def count_unread(db: Session, user_id: int) -> int:
    """How many notifications are unread, at most MAX_COUNTED; those of hidden threads do not count."""
    return db.scalar(_unread_of(user_id)) or 0


def unread_for_bell(rt: Runtime, user_id: int) -> int:
    """`count_unread` for the head of a page; 0 where the database cannot say, as on error pages."""
    try:
        with rt.database.reading() as db:
            return count_unread(db, user_id)
    except SQLAlchemyError:
        return 0


def count_unread_of(db: Session, user_ids: Iterable[int]) -> dict[int, int]:
    """`count_unread` of many people at once."""
    ids = list(user_ids)
    found: dict[int, int] = {}
    for start in range(0, len(ids), 500):
        counted = select(User.id, _unread_of(User.id).correlate(User).scalar_subquery())
        found |= dict(db.execute(counted.where(User.id.in_(ids[start : start + 500]))).all())
    return found


def shown_to(actor: Actor) -> ColumnElement[bool]:
    """A condition on Notification outer-joined with Repo and Thread: nothing hidden meanwhile."""
    return (
        or_(Notification.repo_id.is_(None), visible_to(actor))
        & or_(Notification.thread_id.is_(None), Thread.hidden_at.is_(None))
    )  # fmt: skip


def select_shown(actor: Actor) -> Any:
    """The actor's notifications with what their lines need, in one query."""
    return (
        select(Notification)
        .outerjoin(Notification.repo)
        .outerjoin(Notification.thread)
        .options(
            joinedload(Notification.actor),
            joinedload(Notification.repo),
            joinedload(Notification.thread).lazyload(Thread.author),
        )
        .where(Notification.user_id == (actor.user_id or 0), shown_to(actor))
    )


def list_notifications(
    db: Session,
    actor: Actor,
    *,
    only_unread: bool = False,
    repo_id: int | None = None,
    cursor: str | None = None,
    limit: int | None = None,
) -> Page[Notification]:
    """The actor's inbox, newest first."""
    size = check_limit(limit, default=PAGE_SIZE, maximum=100)
    statement = select_shown(actor)
    if only_unread:
        statement = statement.where(Notification.read_at.is_(None))
    if repo_id is not None:
        statement = statement.where(Notification.repo_id == repo_id)
    after = decode_cursor(cursor, 1)
    if after is not None:
        statement = statement.where(Notification.id < cursor_int(after[0]))
    rows = db.scalars(statement.order_by(Notification.id.desc()).limit(size + 1))
    return make_page(list(rows), size, lambda row: [row.id])


def list_repo_counts(db: Session, actor: Actor) -> list[RepoCount]:
    """The repositories with unread news, most first."""
    count = func.count().label("unread")
    counted = (
        select(Notification.repo_id, count)
        .where(Notification.user_id == (actor.user_id or 0), Notification.read_at.is_(None))
        .group_by(Notification.repo_id)
        .subquery()
    )
    statement = (
        select(Repo, counted.c.unread)
        .join(counted, counted.c.repo_id == Repo.id)
        .where(visible_to(actor))
        .order_by(counted.c.unread.desc(), Repo.id)
        .limit(20)
    )
    return [RepoCount(repo, unread) for repo, unread in db.execute(statement)]
