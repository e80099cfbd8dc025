"""What people keep for themselves in the forum: bookmarks, and drafts that follow them to other devices."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.orm import Session, joinedload

from llmos.core import clock
from llmos.core.errors import BadRequest, TooLarge
from llmos.core.pagination import Page, decode_cursor, make_page
from llmos.features.accounts.actor import Actor
from llmos.features.discussions.forum_models import Bookmark, Draft
from llmos.features.discussions.models import TOPIC, Comment, Thread
from llmos.features.discussions.texts import MAX_TEXT_BYTES, MAX_TITLE_CHARS
from llmos.features.repos.cursors import cursor_int, cursor_time
from llmos.infra.db.upsert import insert_missing, upsert
from llmos.infra.i18n import lazy

MAX_BOOKMARKS = 5000
MAX_DRAFTS = 100
PAGE_SIZE = 25


def set_bookmark(db: Session, actor: Actor, comment: Comment, is_kept: bool) -> None:
    """Keep a post for the actor, or no longer; doing either twice is no error."""
    user_id = actor.require_user()
    if not is_kept:
        mine = (Bookmark.user_id == user_id, Bookmark.comment_id == comment.id)
        db.execute(delete(Bookmark).where(*mine))
        return
    count = db.scalar(select(func.count()).where(Bookmark.user_id == user_id)) or 0
    if count >= MAX_BOOKMARKS:
        raise BadRequest(
            lazy("At most %(limit)s bookmarks are kept: remove some first.", limit=MAX_BOOKMARKS)
        )
    insert_missing(db, Bookmark, [{"user_id": user_id, "comment_id": comment.id, "created_at": clock.now()}])


def list_bookmarks(db: Session, actor: Actor, cursor: str | None = None) -> Page[Bookmark]:
    """The actor's bookmarks, newest first, with their posts and topics; what was hidden is left out."""
    statement = (
        select(Bookmark)
        .join(Bookmark.comment)
        .join(Comment.thread)
        .where(Bookmark.user_id == actor.require_user(), Thread.kind == TOPIC)
        .where(Comment.hidden_at.is_(None), Thread.hidden_at.is_(None))
        .options(joinedload(Bookmark.comment).joinedload(Comment.thread))
    )
    after = decode_cursor(cursor, 2)
    if after is not None:
        place = (cursor_time(after[0]), cursor_int(after[1]))
        statement = statement.where(tuple_(Bookmark.created_at, Bookmark.comment_id) < place)
    statement = statement.order_by(Bookmark.created_at.desc(), Bookmark.comment_id.desc())
    found = list(db.scalars(statement.limit(PAGE_SIZE + 1)).unique())
    return make_page(found, PAGE_SIZE, lambda row: [row.created_at.isoformat(), row.comment_id])


def topic_place(thread_id: int) -> str:
    return f"topic-{thread_id}"


NEW_TOPIC = "new"


def save_draft(
    db: Session,
    actor: Actor,
    place: str,
    *,
    title: str = "",
    text: str = "",
    category: str = "",
    tags: str = "",
) -> datetime | None:
    """Keep unsent text, in place of what was there; without title and text there is no draft.

    The oldest go where a person has more than MAX_DRAFTS. Returns when it was saved.
    """
    user_id = actor.require_user()
    if place != NEW_TOPIC and not (place.startswith("topic-") and place[6:].isdecimal() and len(place) < 30):
        raise BadRequest(lazy("place must be new or topic- with the number of a topic."))
    if len(text.encode()) > MAX_TEXT_BYTES:
        raise TooLarge(lazy("The draft is too long: at most %(limit)s bytes are kept.", limit=MAX_TEXT_BYTES))
    if not text.strip() and not title.strip():
        drop_draft(db, actor, place)
        return None
    now = clock.now()
    row = {
        "user_id": user_id,
        "place": place,
        "title": title[:MAX_TITLE_CHARS],
        "text": text,
        "category": category[:60],
        "tags": tags[:400],
        "updated_at": now,
    }
    upsert(
        db,
        Draft,
        [row],
        keys=["user_id", "place"],
        update=["title", "text", "category", "tags", "updated_at"],
    )
    kept = (
        select(Draft.place)
        .where(Draft.user_id == user_id)
        .order_by(Draft.updated_at.desc(), Draft.place)
        .limit(MAX_DRAFTS)
    )
    places = list(db.scalars(kept))
    if len(places) == MAX_DRAFTS:
        db.execute(delete(Draft).where(Draft.user_id == user_id, Draft.place.not_in(places)))
    return now


def drop_draft(db: Session, actor: Actor, place: str) -> None:
    db.execute(delete(Draft).where(Draft.user_id == actor.require_user(), Draft.place == place))


def get_draft(db: Session, actor: Actor, place: str) -> Draft | None:
    return db.get(Draft, (actor.user_id, place)) if actor.user_id is not None else None


def list_drafts(db: Session, actor: Actor) -> Sequence[tuple[Draft, Thread | None]]:
    """The actor's drafts with the topics they answer, last written first; those of topics that are
    gone or hidden have None."""
    drafts = db.scalars(
        select(Draft).where(Draft.user_id == actor.require_user()).order_by(Draft.updated_at.desc())
    ).all()
    ids = [int(draft.place[6:]) for draft in drafts if draft.place.startswith("topic-")]
    rows = db.scalars(select(Thread).where(Thread.id.in_(ids), Thread.hidden_at.is_(None))).unique()
    topics = {thread.id: thread for thread in rows if thread.kind == TOPIC}
    return [
        (draft, topics.get(int(draft.place[6:])) if draft.place != NEW_TOPIC else None) for draft in drafts
    ]
