"""The lists of topics: latest, top, unanswered, solved, mine; by category and tag."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import ColumnElement, func, or_, select, tuple_, union_all
from sqlalchemy.orm import Session, joinedload

from llmos.core import clock
from llmos.core.errors import BadRequest
from llmos.core.pagination import Page, decode_cursor, make_page
from llmos.features.accounts.actor import Actor
from llmos.features.discussions.models import OPEN, TOPIC, Category, Comment, Thread, ThreadTag
from llmos.features.repos.cursors import cursor_int, cursor_time
from llmos.infra.i18n import lazy

PAGE_SIZE = 30
MAX_PINNED = 20
VIEWS: Final = ("latest", "top", "unanswered", "solved", "mine")
PERIODS: Final = {"week": 7, "month": 30, "year": 365, "all": None}


@dataclass(frozen=True, slots=True)
class TopicFilter:
    """`view`: one of VIEWS; `period`, of `top` alone: a key of PERIODS."""

    view: str = "latest"
    period: str = "year"
    category_id: int | None = None
    tag: str = ""

    def __post_init__(self) -> None:
        if self.view not in VIEWS:
            raise BadRequest(lazy("view must be one of %(list)s.", list=", ".join(VIEWS)))
        if self.period not in PERIODS:
            raise BadRequest(lazy("period must be one of %(list)s.", list=", ".join(PERIODS)))
        if "\0" in self.tag:
            raise BadRequest(lazy("tag must not contain NUL characters."))


def _conditions(actor: Actor, wish: TopicFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [Thread.category_id.is_not(None), Thread.hidden_at.is_(None)]
    if wish.category_id is not None:
        found.append(Thread.category_id == wish.category_id)
    else:
        found.append(Thread.kind == TOPIC)
    if wish.tag:
        found.append(Thread.id.in_(select(ThreadTag.thread_id).where(ThreadTag.tag == wish.tag.lower())))
    if wish.view == "unanswered":
        questions = select(Category.id).where(Category.format == "question")
        found += [Thread.category_id.in_(questions), Thread.answer_id.is_(None), Thread.status == OPEN]
    elif wish.view == "solved":
        found.append(Thread.answer_id.is_not(None))
    elif wish.view == "mine":
        user_id = actor.require_user()
        written = select(Comment.thread_id).where(Comment.author_id == user_id)
        found.append(or_(Thread.author_id == user_id, Thread.id.in_(written)))
    elif wish.view == "top" and (days := PERIODS[wish.period]) is not None:
        found.append(Thread.last_activity_at > clock.now() - timedelta(days=days))
    return found


def list_forum_topics(
    db: Session,
    actor: Actor,
    wish: TopicFilter = TopicFilter(),
    cursor: str | None = None,
    *,
    size: int = PAGE_SIZE,
) -> Page[Thread]:
    """A page of topics with their people and categories. BadRequest for a forged cursor.

    Pinned ones come first on the first page of `latest` (of a category: its own) and on no later one;
    in the other views they come in their turn.
    """
    statement = select(Thread).where(*_conditions(actor, wish))
    statement = statement.options(joinedload(Thread.last_author), joinedload(Thread.category))
    after = decode_cursor(cursor, 2)
    if wish.view == "top":
        if after is not None:
            place = (cursor_int(after[0]), cursor_int(after[1]))
            statement = statement.where(tuple_(Thread.score, Thread.id) < place)
        statement = statement.order_by(Thread.score.desc(), Thread.id.desc())
        found = list(db.scalars(statement.limit(size + 1)).unique())
        return make_page(found, size, lambda thread: [thread.score, thread.id])
    pinned = _pinned(db, wish) if wish.view == "latest" else []
    if pinned:
        statement = statement.where(Thread.id.not_in([thread.id for thread in pinned]))
    if after is not None:
        since = (cursor_time(after[0]), cursor_int(after[1]))
        statement = statement.where(tuple_(Thread.last_activity_at, Thread.id) < since)
    statement = statement.order_by(Thread.last_activity_at.desc(), Thread.id.desc())
    found = list(db.scalars(statement.limit(size + 1)).unique())
    page = make_page(found, size, lambda thread: [thread.last_activity_at.isoformat(), thread.id])
    return Page([*pinned, *page.items], page.next_cursor) if cursor is None else page


def _pinned(db: Session, wish: TopicFilter) -> list[Thread]:
    if wish.tag:
        return []
    shown = (Thread.is_pinned.is_(True), Thread.hidden_at.is_(None), Thread.category_id.is_not(None))
    statement = select(Thread).where(*shown)
    if wish.category_id is not None:
        statement = statement.where(Thread.category_id == wish.category_id)
    statement = statement.options(joinedload(Thread.last_author), joinedload(Thread.category))
    statement = statement.order_by(Thread.last_activity_at.desc(), Thread.id.desc()).limit(MAX_PINNED)
    return list(db.scalars(statement).unique())


def list_latest_topics(db: Session, *, limit: int = 6) -> Sequence[Thread]:
    """The topics last written in, for the site's first page, in one query."""
    statement = (
        select(Thread)
        .where(Thread.kind == TOPIC, Thread.hidden_at.is_(None), Thread.category_id.is_not(None))
        .options(joinedload(Thread.last_author), joinedload(Thread.category))
        .order_by(Thread.last_activity_at.desc(), Thread.id.desc())
        .limit(limit)
    )
    return db.scalars(statement).unique().all()


def count_topics(db: Session) -> dict[int, int]:
    """The number of visible topics by category id, in one query."""
    shown = (Thread.category_id.is_not(None), Thread.hidden_at.is_(None))
    statement = select(Thread.category_id, func.count()).where(*shown).group_by(Thread.category_id)
    return {category_id: count for category_id, count in db.execute(statement) if category_id is not None}


def list_last_topics(
    db: Session, categories: Sequence[Category], *, each: int = 2
) -> dict[int, list[Thread]]:
    """The topics last written in of every category, in one query."""
    if not categories:
        return {}
    parts = [
        select(
            select(Thread.id)
            .where(Thread.category_id == category.id, Thread.hidden_at.is_(None))
            .order_by(Thread.last_activity_at.desc(), Thread.id.desc())
            .limit(each)
            .subquery()
        )
        for category in categories
    ]
    ids = union_all(*parts).subquery()
    statement = select(Thread).where(Thread.id.in_(select(ids.c.id)))
    found: dict[int, list[Thread]] = {}
    rows = db.scalars(statement.order_by(Thread.last_activity_at.desc(), Thread.id.desc())).unique()
    for thread in rows:
        found.setdefault(thread.category_id or 0, []).append(thread)
    return found


def list_popular_tags(db: Session, *, limit: int = 20) -> list[tuple[str, int]]:
    """The tags of most visible topics with their numbers."""
    number = func.count()
    statement = (
        select(ThreadTag.tag, number)
        .join(Thread, Thread.id == ThreadTag.thread_id)
        .where(Thread.category_id.is_not(None), Thread.hidden_at.is_(None))
        .group_by(ThreadTag.tag)
        .order_by(number.desc(), ThreadTag.tag)
    )
    return [(tag, count) for tag, count in db.execute(statement.limit(limit))]
