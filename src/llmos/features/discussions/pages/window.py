"""Which part of a thread a page shows: all of a short one, both ends of a long one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, ScalarSelect, func, or_, select
from sqlalchemy.orm import Session

from llmos.features.discussions.models import Comment, Thread, ThreadEvent

HEAD, TAIL, STEP = 10, 20, 30
MAX_WHOLE = HEAD + TAIL
MAX_EVENTS = 300


@dataclass(frozen=True, slots=True)
class Gap:
    """Comments left out: those after the one with id `after` and before the one with id `until`."""

    after: int
    until: int
    count: int


@dataclass(slots=True)
class Window:
    """`entries` in order of time. `is_from_start`: nothing before them was left out."""

    entries: list[Comment | ThreadEvent | Gap] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    is_from_start: bool = True


def is_whole(thread: Thread) -> bool:
    """Whether one page shows the whole thread."""
    return thread.comment_count <= MAX_WHOLE


def read_window(db: Session, thread: Thread, *, after: int = 0, until: int = 0) -> Window:
    """The page of a thread, or with `after` the stretch behind that comment (`until`: before that one).

    Two queries.
    """
    if after or until:
        return _stretch(db, thread, after, until)
    own = Comment.thread_id == thread.id
    if is_whole(thread):
        return _join(_comments(db, own), _events(db, thread), None)
    ids = select(Comment.id).where(own)
    head = ids.order_by(Comment.id).limit(HEAD).subquery()
    tail = ids.order_by(Comment.id.desc()).limit(TAIL).subquery()
    found = _comments(db, own, or_(Comment.id.in_(select(head.c.id)), Comment.id.in_(select(tail.c.id))))
    left_out = thread.comment_count - len(found)
    if left_out <= 0 or len(found) <= HEAD:
        return _join(found, _events(db, thread), None)
    last, first = found[HEAD - 1], found[HEAD]
    outside = or_(ThreadEvent.created_at < last.created_at, ThreadEvent.created_at >= first.created_at)
    return _join(found, _events(db, thread, outside), Gap(last.id, first.id, left_out))


def _stretch(db: Session, thread: Thread, after: int, until: int) -> Window:
    conditions = [Comment.thread_id == thread.id, Comment.id > after]
    if until:
        conditions.append(Comment.id < until)
    # Of its own rows, not of the one it stands beside.
    count = select(func.count()).where(*conditions).correlate(None).scalar_subquery()
    statement = select(Comment, count).where(*conditions).order_by(Comment.id).limit(STEP + 1)
    rows = db.execute(statement).unique().all()
    is_last = len(rows) <= STEP
    found = [row[0] for row in rows[:STEP]]
    # Events go with the comment before them: each stretch begins with those of the one it is `after`.
    during = [ThreadEvent.created_at >= _moment(thread, after)] if after else []
    if not is_last:
        during.append(ThreadEvent.created_at < found[-1].created_at)
    elif until:
        during.append(ThreadEvent.created_at < _moment(thread, until))
    window = _join(found, _events(db, thread, *during), None)
    window.is_from_start = after == 0
    if not is_last:
        window.entries.append(Gap(found[-1].id, until, max(rows[0][1] - STEP, 1)))
    return window


def _moment(thread: Thread, comment_id: int) -> ScalarSelect[datetime]:
    own = (Comment.thread_id == thread.id, Comment.id == comment_id)
    return select(Comment.created_at).where(*own).scalar_subquery()


def _comments(db: Session, *conditions: ColumnElement[bool], limit: int = MAX_WHOLE) -> list[Comment]:
    statement = select(Comment).where(*conditions).order_by(Comment.id).limit(limit)
    return list(db.scalars(statement).unique())


def _events(db: Session, thread: Thread, *conditions: ColumnElement[bool]) -> Sequence[ThreadEvent]:
    statement = select(ThreadEvent).where(ThreadEvent.thread_id == thread.id, *conditions)
    statement = statement.order_by(ThreadEvent.created_at, ThreadEvent.id).limit(MAX_EVENTS)
    return db.scalars(statement).unique().all()


def _join(comments: list[Comment], events: Sequence[ThreadEvent], gap: Gap | None) -> Window:
    entries: list[Comment | ThreadEvent] = [*comments, *events]
    # Of one moment, the comment comes first: it says why.
    entries.sort(key=lambda entry: (entry.created_at, isinstance(entry, ThreadEvent), entry.id))
    shown: list[Comment | ThreadEvent | Gap] = [*entries]
    if gap is not None:
        shown.insert(entries.index(comments[HEAD - 1]) + 1, gap)
    return Window(shown, comments)


def place_before(db: Session, thread: Thread, comment: Comment) -> int:
    """The id to show the thread `after`, so that the comment stands near the top of the page."""
    statement = (
        select(Comment.id)
        .where(Comment.thread_id == thread.id, Comment.id < comment.id)
        .order_by(Comment.id.desc())
        .limit(6)
    )
    found = db.scalars(statement).all()
    return found[-1] if len(found) == 6 else 0
