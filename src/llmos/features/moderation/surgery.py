"""Moving comments between threads, and topics between categories; and back."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, Conflict
from llmos.features.accounts.actor import Actor
from llmos.features.discussions import events
from llmos.features.discussions.events import add_event
from llmos.features.discussions.models import (
    CLOSED,
    DISCUSSION,
    OPEN,
    PULL_REQUEST,
    TOPIC,
    Comment,
    Thread,
)
from llmos.features.discussions.texts import check_title
from llmos.features.discussions.threads import lock_thread_row
from llmos.features.repos.push import take_thread_num
from llmos.infra.i18n import lazy

MAX_MOVED = 1000


def set_category(db: Session, actor: Actor, thread: Thread, category_id: int | None) -> None:
    """Put a topic into a category, and say so in its timeline."""
    thread = lock_thread_row(db, thread.id)
    thread.category_id = category_id
    add_event(db, actor, thread, "category-change", {"category_id": category_id})
    db.flush()
    db.expire(thread, ["category"])


def split_thread(db: Session, actor: Actor, thread: Thread, comment_ids: list[int], title: str) -> Thread:
    """A new thread of the chosen comments, by the author of the first of them.

    BadRequest for no comments, foreign ones, the description, or a pull request.
    """
    title = check_title(title)
    thread = lock_thread_row(db, thread.id)
    _check_kind(thread)
    chosen = _comments(db, thread, comment_ids)
    if not chosen or len(chosen) != len(set(comment_ids)) or len(chosen) > MAX_MOVED:
        raise BadRequest(lazy("Choose 1 to %(limit)s comments of this thread.", limit=MAX_MOVED))
    if any(comment.id == thread.first_comment_id for comment in chosen):
        raise BadRequest(lazy("The first post stays with its thread: choose among the replies."))
    new = Thread(
        kind=thread.kind,
        repo_id=thread.repo_id,
        category_id=thread.category_id,
        title=title,
        author_id=chosen[0].author_id,
        status=OPEN,
        num=take_thread_num(db, thread.repo_id) if thread.repo_id is not None else 0,
        created_at=chosen[0].created_at,
        first_comment_id=chosen[0].id,
        comment_count=0,
    )
    db.add(new)
    db.flush()
    if new.kind == TOPIC:
        new.num = new.id
    _move(db, [comment.id for comment in chosen], new)
    _count_again(db, thread)
    _count_again(db, new)
    add_event(db, actor, thread, events.REFERENCE, {"thread_num": new.num, "title": title, "how": "split"})
    add_event(
        db, actor, new, events.REFERENCE, {"thread_num": thread.num, "title": thread.title, "how": "split"}
    )
    db.flush()
    return new


def merge_threads(db: Session, actor: Actor, thread: Thread, target: Thread) -> list[int]:
    """Move everything of `thread` into `target` and close it, hidden; the ids of what moved."""
    if thread.id == target.id:
        raise BadRequest(lazy("A thread cannot be merged into itself."))
    first, second = sorted((thread.id, target.id))  # always in this order: no two wait for each other
    lock_thread_row(db, first)
    lock_thread_row(db, second)
    _check_kind(thread)
    _check_kind(target)
    if (thread.kind, thread.repo_id) != (target.kind, target.repo_id):
        raise BadRequest(lazy("Only threads of the same place can be merged."))
    ids = list(db.scalars(select(Comment.id).where(Comment.thread_id == thread.id).order_by(Comment.id)))
    if len(ids) > MAX_MOVED:
        raise BadRequest(lazy("Threads of more than %(limit)s comments cannot be merged.", limit=MAX_MOVED))
    _move(db, ids, target)
    thread.status, thread.closed_at, thread.hidden_at = CLOSED, clock.now(), clock.now()
    _count_again(db, thread)
    _count_again(db, target)
    add_event(
        db, actor, target, events.REFERENCE, {"thread_num": thread.num, "title": thread.title, "how": "merge"}
    )
    db.flush()
    return ids


def join_again(db: Session, actor: Actor, thread: Thread, data: dict[str, Any]) -> None:
    """Undo a split: the comments go home, the thread that was made of them is closed and hidden.

    Conflict when others have written in it since.
    """
    new = db.get(Thread, data["new_id"])
    if new is None:
        raise Conflict(lazy("The other thread has been deleted since."))
    ids = _ids_in(db, new)
    if set(ids) - set(data["comments"]):
        raise Conflict(lazy("Others have written in the new thread since: merge it instead."))
    _move(db, ids, thread)
    new.status, new.closed_at, new.hidden_at = CLOSED, clock.now(), clock.now()
    _count_again(db, thread)
    _count_again(db, new)
    db.flush()


def part_again(db: Session, actor: Actor, thread: Thread, data: dict[str, Any]) -> None:
    """Undo a merge: its comments return to the thread, which is open and in sight again."""
    target = db.get(Thread, data["target_id"])
    if target is None:
        raise Conflict(lazy("The other thread has been deleted since."))
    kept = set(data["comments"])
    _move(db, [comment_id for comment_id in _ids_in(db, target) if comment_id in kept], thread)
    thread.status, thread.closed_at, thread.hidden_at = OPEN, None, None
    _count_again(db, thread)
    _count_again(db, target)
    db.flush()


def _check_kind(thread: Thread) -> None:
    if thread.kind not in (DISCUSSION, TOPIC):
        assert thread.kind == PULL_REQUEST
        raise BadRequest(lazy("Pull requests can be neither split nor merged into other threads."))


def _comments(db: Session, thread: Thread, ids: list[int]) -> list[Comment]:
    statement = select(Comment).where(Comment.thread_id == thread.id, Comment.id.in_(ids[: MAX_MOVED + 1]))
    return list(db.scalars(statement.order_by(Comment.id)).unique())


def _ids_in(db: Session, thread: Thread) -> list[int]:
    return list(db.scalars(select(Comment.id).where(Comment.thread_id == thread.id).order_by(Comment.id)))


def _move(db: Session, ids: list[int], target: Thread) -> None:
    for start in range(0, len(ids), 500):
        part = ids[start : start + 500]
        db.execute(update(Comment).where(Comment.id.in_(part)).values(thread_id=target.id))
    db.expire_all()


def _count_again(db: Session, thread: Thread) -> None:
    count, last = db.execute(
        select(func.count(), func.max(Comment.created_at)).where(Comment.thread_id == thread.id)
    ).one()
    thread.comment_count = count
    if last is not None:
        thread.last_activity_at = last
    answer = db.get(Comment, thread.answer_id) if thread.answer_id else None
    if answer is not None and answer.thread_id != thread.id:
        thread.answer_id = None
    db.flush()
