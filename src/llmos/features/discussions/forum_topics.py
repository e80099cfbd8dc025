"""What topics have beyond other threads: polls, categories and tags that change, wiki posts."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete
from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest
from llmos.features.accounts.actor import Actor
from llmos.features.discussions import events
from llmos.features.discussions.events import add_event
from llmos.features.discussions.forum_kept import NEW_TOPIC, drop_draft
from llmos.features.discussions.forum_polls import PollWish, add_poll, check_poll
from llmos.features.discussions.models import TOPIC, Category, Thread, ThreadTag
from llmos.features.discussions.policy import check_can_manage, check_can_open_topic
from llmos.features.discussions.texts import check_title
from llmos.features.discussions.threads import check_tags, lock_thread_row, open_topic, rename_thread
from llmos.infra.i18n import lazy


def start_topic(
    db: Session,
    actor: Actor,
    category: Category,
    title: str,
    text: str,
    tags: Sequence[str] = (),
    *,
    poll: PollWish | None = None,
    is_wiki: bool = False,
) -> Thread:
    """Open a topic with all that comes with it, and drop the draft of it. Refuses as `open_topic`
    and `check_poll`."""
    checked = check_poll(poll) if poll is not None else None
    thread = open_topic(db, actor, category, title, text, tags)
    thread.is_wiki = is_wiki
    if checked is not None:
        add_poll(db, thread, checked)
    drop_draft(db, actor, NEW_TOPIC)
    db.flush()
    return thread


def change_topic(
    db: Session, actor: Actor, thread: Thread, *, title: str, category: Category, tags: Sequence[str]
) -> Thread:
    """Set title, category and tags: the author and those who keep order; what is the same stays.

    Raises as `check_can_manage`, `check_title`, `check_tags` and, for another category, as
    `check_can_open_topic`.
    """
    check_can_manage(db, actor, thread)
    if thread.kind != TOPIC:
        raise BadRequest(lazy("Only topics of the forum have a category and tags."))
    title, kept = check_title(title), check_tags(tags)
    if title != thread.title:
        rename_thread(db, actor, thread, title)
    thread = lock_thread_row(db, thread.id)
    if category.id != thread.category_id:
        check_can_open_topic(db, actor, category)
        old = thread.category.slug if thread.category else ""
        thread.category_id, thread.category = category.id, category
        add_event(db, actor, thread, events.MOVED, {"from": old, "to": category.slug})
    db.execute(delete(ThreadTag).where(ThreadTag.thread_id == thread.id))
    db.add_all(ThreadTag(thread_id=thread.id, tag=tag) for tag in kept)
    db.flush()
    return thread


def set_wiki(db: Session, actor: Actor, thread: Thread, is_wiki: bool) -> Thread:
    """Let members edit the first post, or its author alone again; as `check_can_manage`."""
    check_can_manage(db, actor, thread)
    thread = lock_thread_row(db, thread.id)
    if thread.is_wiki != is_wiki:
        thread.is_wiki = is_wiki
        add_event(db, actor, thread, events.WIKI, {"wiki": is_wiki})
        db.flush()
    return thread
