"""Opening, naming, closing, pinning and locking threads."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, Conflict
from llmos.features.accounts.actor import Actor
from llmos.features.discussions import events
from llmos.features.discussions.comments import insert_comment, post_comment
from llmos.features.discussions.events import add_event, tell
from llmos.features.discussions.models import (
    CLOSED,
    DISCUSSION,
    DRAFT,
    MERGED,
    OPEN,
    PULL_REQUEST,
    TOPIC,
    Category,
    Comment,
    Thread,
    ThreadEvent,
    ThreadTag,
)
from llmos.features.discussions.policy import (
    check_can_comment,
    check_can_manage,
    check_can_moderate,
    check_can_open,
    check_can_open_topic,
    screen_text,
)
from llmos.features.discussions.texts import check_text, check_title
from llmos.features.repos.models import Repo
from llmos.features.repos.push import take_thread_num
from llmos.infra.i18n import lazy

MAX_TAGS = 5
MAX_TAG_CHARS = 60


def open_thread(db: Session, actor: Actor, repo: Repo, title: str, text: str) -> Thread:
    """Open a discussion; `text` becomes its description, the first comment.

    Raises BadRequest (title, description), TooLarge, Unauthenticated, Forbidden (token, switched
    off, blocked).
    """
    check_can_open(db, actor, repo)
    title, text = check_title(title), check_text(text, "description")
    screen_text(db, actor, repo, f"{title}\n{text}")
    thread = Thread(kind=DISCUSSION, repo_id=repo.id, repo=repo, num=take_thread_num(db, repo.id))
    return insert_thread(db, actor, thread, title, text)


def open_topic(
    db: Session, actor: Actor, category: Category, title: str, text: str, tags: Sequence[str] = ()
) -> Thread:
    """Open a topic of the forum; its `num` is its id. Refuses as `open_thread`, and bad tags."""
    check_can_open_topic(db, actor, category)
    title, text, tags = check_title(title), check_text(text, "text"), check_tags(tags)
    screen_text(db, actor, category, f"{title}\n{text}")
    thread = Thread(kind=TOPIC, category_id=category.id, category=category)
    insert_thread(db, actor, thread, title, text)
    thread.num = thread.id
    _add_tags(db, thread, tags)
    return thread


def insert_thread(db: Session, actor: Actor, thread: Thread, title: str, text: str) -> Thread:
    """The rows of a new thread whose title and text have been checked, and the news of it."""
    thread.title = title
    thread.author_id = thread.last_author_id = actor.user_id
    thread.created_at = thread.last_activity_at = clock.now()
    thread.status = thread.status or OPEN
    thread.comment_count = 0
    db.add(thread)
    db.flush()
    comment = insert_comment(db, actor, thread, text)
    thread.first_comment_id = comment.id
    tell(db, events.THREAD_OPENED, actor, thread_id=thread.id, comment_id=comment.id)
    return thread


def check_tags(tags: Sequence[str]) -> list[str]:
    """At most MAX_TAGS tags in lower case, each of letters, digits, `-`, `_`, `.` and `+`."""
    kept = list(dict.fromkeys(tag.strip().lower() for tag in tags if tag.strip()))
    if len(kept) > MAX_TAGS:
        raise BadRequest(lazy("At most %(limit)s tags are accepted.", limit=MAX_TAGS))
    for tag in kept:
        if len(tag) > MAX_TAG_CHARS or not all(char.isalnum() or char in "-_.+" for char in tag):
            raise BadRequest(
                lazy("%(tag)r is not a tag: use letters, digits, '-', '_', '.' and '+'.", tag=tag[:80])
            )
    return kept


def _add_tags(db: Session, thread: Thread, tags: Sequence[str]) -> None:
    db.add_all(ThreadTag(thread_id=thread.id, tag=tag) for tag in tags)
    db.flush()


def lock_thread_row(db: Session, thread_id: int) -> Thread:
    """The thread as it is now; others who change it wait until this transaction ends."""
    statement = (
        select(Thread)
        .where(Thread.id == thread_id)
        .with_for_update(of=Thread)
        .execution_options(populate_existing=True)
    )
    thread = db.scalars(statement).unique().one_or_none()
    if thread is None:
        raise Conflict(lazy("This thread was deleted meanwhile."), code="ThreadDeleted")
    return thread


def rename_thread(db: Session, actor: Actor, thread: Thread, title: str) -> ThreadEvent:
    """Give the thread another title; the event of it. Raises as `check_can_manage`, BadRequest."""
    check_can_manage(db, actor, thread)
    title = check_title(title)
    thread = lock_thread_row(db, thread.id)
    old, thread.title = thread.title, title
    thread.version += 1
    event = add_event(db, actor, thread, events.TITLE_CHANGE, {"from": old, "to": title})
    if old != title:
        tell(db, events.THREAD_RENAMED, actor, thread_id=thread.id, old=old, new=title)
    db.flush()
    return event


def set_status(
    db: Session, actor: Actor, thread: Thread, status: str, comment: str | None = None
) -> ThreadEvent:
    """Open or close the thread, and say why in a comment; `open` also offers a draft.

    Raises BadRequest for another status, Conflict (409) where it has that status already, since
    somebody else was faster, or is merged; the caller's comment is then in `data["text"]`.
    """
    if status not in (OPEN, CLOSED):
        raise BadRequest(lazy("status must be 'open' or 'closed', not %(status)r.", status=status[:50]))
    check_can_manage(db, actor, thread)
    thread = lock_thread_row(db, thread.id)
    if thread.status in (status, MERGED):
        raise Conflict(
            lazy("Nothing was changed: this thread is already %(status)s.", status=thread.status),
            code="StatusChanged",
            data={"status": thread.status, "text": comment or ""},
        )
    if comment is not None and comment.strip():
        check_can_comment(db, actor, thread)
        post_comment(db, actor, thread, check_text(comment))
    return change_status(db, actor, thread, status)


def change_status(
    db: Session, actor: Actor, thread: Thread, status: str, **reason: str | int | None
) -> ThreadEvent:
    """The row, event and news of a change of status that has been checked; `reason` goes to the event."""
    old, thread.status = thread.status, status
    thread.version += 1
    thread.closed_at = None if status in (OPEN, DRAFT) else clock.now()
    data = {"status": status, "old": old, **reason}
    event = add_event(db, actor, thread, events.STATUS_CHANGE, data)
    tell(db, events.THREAD_STATUS_CHANGED, actor, thread_id=thread.id, old=old, new=status)
    db.flush()
    return event


def close_named(db: Session, actor: Actor, repo_id: int, numbers: Sequence[int], by: str) -> None:
    """Close the open discussions (not pull requests) with these numbers; `by` says what closed them.

    Numbers without such a thread are passed over: they are words of a message, not a request.
    """
    if not numbers:
        return
    statement = (
        select(Thread)
        .where(
            Thread.repo_id == repo_id,
            Thread.num.in_(numbers),
            Thread.status == OPEN,
            Thread.kind != PULL_REQUEST,
        )
        .with_for_update(of=Thread)
    )
    for thread in db.scalars(statement).unique():
        change_status(db, actor, thread, CLOSED, by=by)


def pin_thread(db: Session, actor: Actor, thread: Thread, is_pinned: bool) -> ThreadEvent | None:
    """Show the thread first in its list, or no longer; None where nothing changed."""
    check_can_moderate(db, actor, thread)
    thread = lock_thread_row(db, thread.id)
    if thread.is_pinned == is_pinned:
        return None
    thread.is_pinned = is_pinned
    return add_event(db, actor, thread, events.PINNED, {"pinned": is_pinned})


def lock_thread(db: Session, actor: Actor, thread: Thread, is_locked: bool) -> ThreadEvent | None:
    """Let only maintainers write in the thread, or everyone again; None where nothing changed."""
    check_can_moderate(db, actor, thread)
    thread = lock_thread_row(db, thread.id)
    if thread.is_locked == is_locked:
        return None
    thread.is_locked = is_locked
    return add_event(db, actor, thread, events.LOCKED, {"locked": is_locked})


def accept_answer(db: Session, actor: Actor, thread: Thread, comment: Comment | None) -> Thread:
    """Mark a comment as the answer to a discussion or topic, or none; by its author or maintainers.

    Raises BadRequest for the description, a hidden comment, or one of another thread.
    """
    check_can_manage(db, actor, thread)
    if thread.kind == PULL_REQUEST:
        raise BadRequest(lazy("A pull request has no answer: approve or merge it instead."))
    thread = lock_thread_row(db, thread.id)
    if comment is None:
        if thread.answer_id is not None:
            thread.answer_id = None
            add_event(db, actor, thread, events.ANSWER, {"comment_id": None})
        return thread
    if comment.thread_id != thread.id or comment.id == thread.first_comment_id or comment.is_hidden:
        raise BadRequest(lazy("Choose a visible reply of this thread as its answer."))
    if thread.answer_id != comment.id:
        thread.answer_id = comment.id
        add_event(db, actor, thread, events.ANSWER, {"comment_id": comment.public_id})
        tell(db, events.ANSWER_ACCEPTED, actor, thread_id=thread.id, comment_id=comment.id)
    return thread
