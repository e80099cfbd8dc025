"""What lists and pages of threads ask of the database; access is checked before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, func, select, tuple_
from sqlalchemy.orm import Session, joinedload, lazyload
from sqlalchemy.orm.attributes import set_committed_value

from llmos.core.errors import BadRequest
from llmos.core.names import name_key
from llmos.core.pagination import Page, decode_cursor, make_page
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace, User
from llmos.features.discussions.models import (
    CLOSED,
    DISCUSSION,
    DRAFT,
    MERGED,
    OPEN,
    PULL_REQUEST,
    Comment,
    CommentVersion,
    Reaction,
    Thread,
    ThreadEvent,
    ThreadTag,
)
from llmos.features.discussions.policy import can_moderate
from llmos.features.repos.cursors import cursor_int, cursor_time
from llmos.features.repos.models import Repo
from llmos.infra.i18n import lazy

PAGE_SIZE = 25
COMMENTS_PER_PAGE = 50
MAX_EVENTS_PER_PAGE = 200
KINDS = {"all", DISCUSSION, PULL_REQUEST}
# "open" is what still wants attention: drafts too; "closed" is all that is over.
STATUSES: dict[str, tuple[str, ...]] = {
    "all": (),
    "open": (OPEN, DRAFT),
    "closed": (CLOSED, MERGED),
    "merged": (MERGED,),
    "draft": (DRAFT,),
}


@dataclass(frozen=True, slots=True)
class ThreadFilters:
    """`kind`: all, discussion or pull_request; `status`: a key of STATUSES; `text`: in the title."""

    kind: str = "all"
    status: str = "all"
    author: str = ""
    text: str = ""

    def __post_init__(self) -> None:
        if "\0" in self.author + self.text:
            raise BadRequest(lazy("author and search must not contain NUL characters."))
        if self.kind not in KINDS:
            raise BadRequest(lazy("type must be one of %(list)s.", list=", ".join(sorted(KINDS))))
        if self.status not in STATUSES:
            raise BadRequest(lazy("status must be one of %(list)s.", list=", ".join(sorted(STATUSES))))


def _conditions(db: Session, actor: Actor, repo: Repo, filters: ThreadFilters) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [Thread.repo_id == repo.id]
    if not can_moderate(db, actor, Thread(repo=repo)):
        found.append(Thread.hidden_at.is_(None) | (Thread.author_id == (actor.user_id or 0)))
    if filters.kind != "all":
        found.append(Thread.kind == filters.kind)
    if statuses := STATUSES[filters.status]:
        found.append(Thread.status.in_(statuses))
    if filters.author:
        author_id = select(Namespace.id).where(Namespace.name_key == name_key(filters.author[:100]))
        found.append(Thread.author_id == author_id.scalar_subquery())
    if filters.text.strip():
        found.append(Thread.title.icontains(filters.text.strip()[:100], autoescape=True))
    return found


def list_threads(
    db: Session,
    actor: Actor,
    repo: Repo,
    filters: ThreadFilters = ThreadFilters(),
    cursor: str | None = None,
    *,
    limit: int = PAGE_SIZE,
) -> Page[Thread]:
    """Pinned ones first, then newest first, with their authors and pull requests loaded.

    The cursor survives new threads. BadRequest for a forged one.
    """
    statement = _listed(_conditions(db, actor, repo, filters))
    statement = statement.order_by(Thread.is_pinned.desc(), Thread.num.desc())
    after = decode_cursor(cursor, 2)
    if after is not None:
        is_pinned, num = bool(cursor_int(after[0])), cursor_int(after[1])
        below = (Thread.is_pinned == is_pinned) & (Thread.num < num)
        statement = statement.where(below | (Thread.is_pinned < is_pinned) if is_pinned else below)
    found = list(db.scalars(statement.limit(limit + 1)).unique())
    return make_page(found, limit, lambda thread: [int(thread.is_pinned), thread.num])


def _listed(conditions: Sequence[ColumnElement[bool]]) -> Select[Thread]:
    return select(Thread).where(*conditions).options(joinedload(Thread.pull))


# What a list can be sorted by; pinned threads come first in all of them.
SORTS: dict[str, ColumnElement[Any]] = {
    "newest": Thread.num.desc(),
    "oldest": Thread.num.asc(),
    "active": Thread.last_activity_at.desc(),
    "comments": Thread.comment_count.desc(),
}


def list_sorted(
    db: Session, actor: Actor, repo: Repo, filters: ThreadFilters, sort: str, *, page: int, limit: int
) -> list[Thread]:
    """Page `page` (from 0) by a key of SORTS, one thread more than `limit` where others follow."""
    if sort not in SORTS:
        raise BadRequest(lazy("sort must be one of %(list)s.", list=", ".join(SORTS)))
    statement = _listed(_conditions(db, actor, repo, filters))
    statement = statement.order_by(Thread.is_pinned.desc(), SORTS[sort], Thread.num.desc())
    return list(db.scalars(statement.offset(page * limit).limit(limit + 1)).unique())


def list_numbered(
    db: Session, actor: Actor, repo: Repo, filters: ThreadFilters, *, page: int, limit: int
) -> Page[Thread]:
    """Page `page` (from 0) of all threads, strictly newest first, with the total number."""
    conditions = _conditions(db, actor, repo, filters)
    total = db.scalar(select(func.count()).select_from(Thread).where(*conditions)) or 0
    statement = _listed(conditions).order_by(Thread.num.desc()).offset(page * limit).limit(limit)
    return Page(list(db.scalars(statement).unique()), None, total)


@dataclass(frozen=True, slots=True)
class ThreadCounts:
    """How many threads of a repository are open (drafts too) and over, by kind."""

    open_discussions: int = 0
    closed_discussions: int = 0
    open_pulls: int = 0
    closed_pulls: int = 0

    @property
    def open(self) -> int:
        return self.open_discussions + self.open_pulls

    @property
    def closed(self) -> int:
        return self.closed_discussions + self.closed_pulls


def count_threads(db: Session, repo: Repo) -> ThreadCounts:
    """For the tabs of the list, in one query; hidden threads are left out."""
    statement = (
        select(Thread.kind, Thread.status, func.count())
        .where(Thread.repo_id == repo.id, Thread.hidden_at.is_(None))
        .group_by(Thread.kind, Thread.status)
    )
    counts: dict[tuple[str, bool], int] = {}
    for kind, status, number in db.execute(statement):
        key = (kind, status in STATUSES["open"])
        counts[key] = counts.get(key, 0) + number
    return ThreadCounts(
        open_discussions=counts.get((DISCUSSION, True), 0),
        closed_discussions=counts.get((DISCUSSION, False), 0),
        open_pulls=counts.get((PULL_REQUEST, True), 0),
        closed_pulls=counts.get((PULL_REQUEST, False), 0),
    )


@dataclass(slots=True)
class Timeline:
    """One stretch of a thread: `entries` are comments and events in order of time.

    `next_after` is the id to ask the following stretch with, None at the end of the thread.
    """

    entries: list[Comment | ThreadEvent]
    next_after: int | None = None
    comments: list[Comment] = field(default_factory=list)


def read_timeline(db: Session, thread: Thread, *, after: int = 0, limit: int = COMMENTS_PER_PAGE) -> Timeline:
    """Comments after the one with id `after` and the events between them, in two queries."""
    statement = (
        select(Comment)
        .where(Comment.thread_id == thread.id, Comment.id > after)
        .order_by(Comment.id)
        .limit(limit + 1)
    )
    found = list(db.scalars(statement).unique())
    is_last = len(found) <= limit
    comments = found[:limit]
    events = _events_between(
        db,
        thread,
        comments[0].created_at if after and comments else None,
        None if is_last else found[limit].created_at,
    )
    entries: list[Comment | ThreadEvent] = [*comments, *events]
    # Of one moment, the comment comes first: it says why.
    entries.sort(key=lambda entry: (entry.created_at, isinstance(entry, ThreadEvent), entry.id))
    return Timeline(entries, None if is_last else comments[-1].id, comments)


def _events_between(
    db: Session, thread: Thread, start: datetime | None, end: datetime | None
) -> Sequence[ThreadEvent]:
    statement = select(ThreadEvent).where(ThreadEvent.thread_id == thread.id)
    if start is not None:
        statement = statement.where(ThreadEvent.created_at >= start)
    if end is not None:
        statement = statement.where(ThreadEvent.created_at < end)
    statement = statement.order_by(ThreadEvent.created_at, ThreadEvent.id).limit(MAX_EVENTS_PER_PAGE)
    return db.scalars(statement).unique().all()


def list_all_entries(db: Session, thread: Thread) -> list[Comment | ThreadEvent]:
    """Everything in a thread, in order of time, for clients that take it in one piece.

    Authors come in a query of their own: of thousands of comments, most have the same few.
    """
    own = Comment.thread_id == thread.id
    written = select(Comment.author_id).where(own)
    authors = {user.id: user for user in db.scalars(select(User).where(User.id.in_(written))).unique()}
    comments = db.scalars(select(Comment).where(own).options(lazyload(Comment.author))).all()
    for comment in comments:
        set_committed_value(comment, "author", authors.get(comment.author_id or 0))
    events = db.scalars(select(ThreadEvent).where(ThreadEvent.thread_id == thread.id)).unique().all()
    entries: list[Comment | ThreadEvent] = [*comments, *events]
    entries.sort(key=lambda entry: (entry.created_at, isinstance(entry, ThreadEvent), entry.id))
    return entries


def list_line_comments(db: Session, thread: Thread) -> dict[str, list[Comment]]:
    """The comments on lines, by path, in order of line and time."""
    statement = (
        select(Comment)
        .where(Comment.thread_id == thread.id, Comment.path.is_not(None))
        .order_by(Comment.path, Comment.line, Comment.id)
    )
    found: dict[str, list[Comment]] = {}
    for comment in db.scalars(statement).unique():
        found.setdefault(comment.path or "", []).append(comment)
    return found


def list_versions(db: Session, comments: Sequence[Comment]) -> dict[int, list[CommentVersion]]:
    """The earlier texts of the comments that were edited, oldest first, by comment id."""
    ids = [comment.id for comment in comments if comment.edit_count]
    found: dict[int, list[CommentVersion]] = {}
    for start in range(0, len(ids), 500):
        statement = (
            select(CommentVersion)
            .where(CommentVersion.comment_id.in_(ids[start : start + 500]))
            .order_by(CommentVersion.comment_id, CommentVersion.version)
        )
        for version in db.scalars(statement):
            found.setdefault(version.comment_id, []).append(version)
    return found


@dataclass(frozen=True, slots=True)
class ReactionCount:
    emoji: str
    count: int
    is_mine: bool


def count_reactions(db: Session, actor: Actor, comments: Sequence[Comment]) -> dict[int, list[ReactionCount]]:
    """By comment id, in order of their first use, in one query."""
    if not comments:
        return {}
    mine = func.max((Reaction.user_id == (actor.user_id or 0)).cast(Integer))
    statement = (
        select(Reaction.comment_id, Reaction.emoji, func.count(), mine)
        .where(Reaction.comment_id.in_([comment.id for comment in comments]))
        .group_by(Reaction.comment_id, Reaction.emoji)
        .order_by(Reaction.comment_id, func.min(Reaction.created_at), Reaction.emoji)
    )
    found: dict[int, list[ReactionCount]] = {}
    for comment_id, emoji, number, is_mine in db.execute(statement):
        found.setdefault(comment_id, []).append(ReactionCount(emoji, number, bool(is_mine)))
    return found


def list_tags(db: Session, threads: Sequence[Thread]) -> dict[int, list[str]]:
    """The tags of topics, by thread id, in one query."""
    ids = [thread.id for thread in threads]
    found: dict[int, list[str]] = {}
    if not ids:
        return found
    statement = select(ThreadTag.thread_id, ThreadTag.tag).where(ThreadTag.thread_id.in_(ids))
    for thread_id, tag in db.execute(statement.order_by(ThreadTag.thread_id, ThreadTag.tag)):
        found.setdefault(thread_id, []).append(tag)
    return found


def list_participants(db: Session, thread: Thread, *, limit: int = 20) -> Sequence[User]:
    """Who wrote in the thread, in order of their first comment."""
    first = (
        select(Comment.author_id, func.min(Comment.id).label("first"))
        .where(Comment.thread_id == thread.id, Comment.author_id.is_not(None))
        .group_by(Comment.author_id)
        .subquery()
    )
    statement = select(User).join(first, first.c.author_id == User.id).order_by(first.c.first).limit(limit)
    return db.scalars(statement).unique().all()


def list_topics(
    db: Session,
    actor: Actor,
    *,
    category_id: int | None = None,
    tag: str = "",
    cursor: str | None = None,
    limit: int = PAGE_SIZE,
) -> Page[Thread]:
    """Topics of the forum by last activity, newest first; hidden ones are left out."""
    statement = select(Thread).where(Thread.kind == "topic", Thread.hidden_at.is_(None))
    if category_id is not None:
        statement = statement.where(Thread.category_id == category_id)
    if tag and "\0" not in tag:
        named = select(ThreadTag.thread_id).where(ThreadTag.tag == tag.lower())
        statement = statement.where(Thread.id.in_(named))
    after = decode_cursor(cursor, 2)
    if after is not None:
        place = (cursor_time(after[0]), cursor_int(after[1]))
        statement = statement.where(tuple_(Thread.last_activity_at, Thread.id) < place)
    statement = statement.order_by(Thread.last_activity_at.desc(), Thread.id.desc())
    options = (joinedload(Thread.last_author), joinedload(Thread.category))
    found = list(db.scalars(statement.options(*options).limit(limit + 1)).unique())
    return make_page(found, limit, lambda thread: [thread.last_activity_at.isoformat(), thread.id])
