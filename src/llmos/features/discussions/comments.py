"""Comments: writing, editing, hiding them, and reactions to them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, Conflict, Forbidden
from llmos.features.accounts.actor import Actor
from llmos.features.discussions import events
from llmos.features.discussions.events import tell
from llmos.features.discussions.models import Comment, CommentVersion, Reaction, Thread
from llmos.features.discussions.policy import can_edit, can_moderate, check_can_comment, screen_text
from llmos.features.discussions.texts import check_text
from llmos.infra.db.upsert import insert_missing
from llmos.infra.i18n import lazy

# What a reaction may be; the first ones are offered first.
EMOJI = ("👍", "❤️", "🎉", "🚀", "👀", "😄", "😕", "🤗", "🔥", "🧠", "👏", "👎")
MAX_REASON_CHARS = 300


@dataclass(frozen=True, slots=True)
class LinePlace:
    """Lines of a file a comment speaks of: `side` old or new at commit `oid`, `line` the last one."""

    path: str
    side: str
    line: int
    oid: str
    start_line: int | None = None


def add_comment(
    db: Session,
    actor: Actor,
    thread: Thread,
    text: str,
    *,
    reply_to: Comment | None = None,
    place: LinePlace | None = None,
    review_id: int | None = None,
) -> Comment:
    """Write a comment. Refused: empty ones (400), too long ones (413, with the size), locked
    threads, blocked people, tokens that may not (403), visitors (401)."""
    check_can_comment(db, actor, thread)
    text = check_text(text)
    screen_text(db, actor, thread, text)
    if reply_to is not None and reply_to.thread_id != thread.id:
        raise BadRequest(lazy("A reply must answer a comment of the same thread."))
    if place is not None:
        check_place(place)
    return post_comment(db, actor, thread, text, reply_to=reply_to, place=place, review_id=review_id)


def check_place(place: LinePlace) -> None:
    """BadRequest for an unknown side, and for lines that are none."""
    if place.side not in ("old", "new"):
        raise BadRequest(lazy("side must be 'old' or 'new'."))
    first = place.line if place.start_line is None else place.start_line
    if not 1 <= first <= place.line < 2**31:
        raise BadRequest(lazy("line and start_line must be 1 or more, start_line not above line."))


def post_comment(
    db: Session,
    actor: Actor,
    thread: Thread,
    text: str,
    *,
    reply_to: Comment | None = None,
    place: LinePlace | None = None,
    review_id: int | None = None,
) -> Comment:
    """The row and the news of a comment that has been checked."""
    comment = insert_comment(db, actor, thread, text, reply_to=reply_to, place=place, review_id=review_id)
    tell(db, events.COMMENT_POSTED, actor, thread_id=thread.id, comment_id=comment.id)
    return comment


def insert_comment(
    db: Session,
    actor: Actor,
    thread: Thread,
    text: str,
    *,
    reply_to: Comment | None = None,
    place: LinePlace | None = None,
    review_id: int | None = None,
) -> Comment:
    """The row alone, with the counts of its thread."""
    now = clock.now()
    comment = Comment(thread_id=thread.id, author_id=actor.user_id, text=text, created_at=now)
    comment.reply_to_id = reply_to.id if reply_to else None
    comment.review_id = review_id
    if place is not None:
        comment.path, comment.side, comment.oid = place.path, place.side, place.oid
        comment.line, comment.start_line = place.line, place.start_line
    db.add(comment)
    # Counted by the database, since several people may be writing at once.
    thread.comment_count = Thread.comment_count + 1
    thread.last_activity_at = now
    thread.last_author_id = actor.user_id
    db.flush()
    db.refresh(thread, ["comment_count"])
    return comment


def edit_comment(
    db: Session,
    actor: Actor,
    thread: Thread,
    comment: Comment,
    text: str,
    *,
    if_version: int | None = None,
) -> Comment:
    """Replace the text; the old one stays in the history.

    With `if_version` (the version the editor started from), Conflict (409) where somebody else
    saved meanwhile: `data` holds their `version` and `current`, and `text`, what was sent.
    Forbidden for others than the author (a wiki's first post is everyone's) and hidden comments.
    """
    check_can_comment(db, actor, thread)
    if not can_edit(db, actor, thread, comment):
        raise Forbidden(lazy("Only its author may edit this comment."))
    text = check_text(text, may_be_empty=comment.id == thread.first_comment_id and thread.is_pull_request)
    db.refresh(comment, with_for_update={"of": Comment})
    if comment.is_hidden:
        raise Forbidden(lazy("This comment was hidden and can no longer be edited."))
    if if_version is not None and if_version != comment.version:
        raise Conflict(
            lazy("The comment was changed meanwhile: compare with the newer text, then save again."),
            code="CommentChanged",
            data={"version": comment.version, "current": comment.text, "text": text},
        )
    if text == comment.text:
        return comment
    screen_text(db, actor, thread, text, is_new=False)
    db.add(
        CommentVersion(
            comment_id=comment.id,
            version=comment.version,
            text=comment.text,
            author_id=comment.edited_by_id or comment.author_id,
            created_at=comment.edited_at or comment.created_at,
        )
    )
    comment.text = text
    comment.version += 1
    comment.edit_count += 1
    comment.edited_at = clock.now()
    comment.edited_by_id = actor.user_id
    tell(db, events.COMMENT_EDITED, actor, thread_id=thread.id, comment_id=comment.id)
    db.flush()
    return comment


def hide_comment(db: Session, actor: Actor, thread: Thread, comment: Comment, reason: str = "") -> Comment:
    """Take a comment out of sight for good (maintainers still read it); by its author or maintainers.

    Hiding twice is no error.
    """
    is_author = comment.author_id is not None and comment.author_id == actor.user_id
    if is_author:
        check_can_comment(db, actor, thread)
    elif not can_moderate(db, actor, thread):
        actor.require_user()
        raise Forbidden(lazy("Only its author and maintainers may hide this comment."))
    if len(reason) > MAX_REASON_CHARS:
        raise BadRequest(lazy("reason is too long: at most %(limit)s characters.", limit=MAX_REASON_CHARS))
    db.refresh(comment, with_for_update={"of": Comment})
    if comment.hidden_at is None:
        comment.hidden_at = clock.now()
        comment.hidden_by_id = actor.user_id
        comment.hidden_reason = reason
        if thread.answer_id == comment.id:
            thread.answer_id = None
        tell(db, events.COMMENT_HIDDEN, actor, thread_id=thread.id, comment_id=comment.id)
        db.flush()
    return comment


def resolve_comment(
    db: Session, actor: Actor, thread: Thread, comment: Comment, is_resolved: bool
) -> Comment:
    """Mark a line comment as settled, or open it again: the pull request's author and maintainers."""
    check_can_comment(db, actor, thread)
    may = actor.user_id in (thread.author_id, comment.author_id) or can_moderate(db, actor, thread)
    if not may:
        raise Forbidden(lazy("Only the author of the pull request and maintainers may do this."))
    if comment.path is None:
        raise BadRequest(lazy("Only comments on lines can be resolved."))
    comment.resolved_at = clock.now() if is_resolved else None
    comment.resolved_by_id = actor.user_id if is_resolved else None
    db.flush()
    return comment


def add_reaction(db: Session, actor: Actor, thread: Thread, comment: Comment, emoji: str) -> bool:
    """React to a comment; False where the actor had already. BadRequest for an emoji not in EMOJI."""
    check_can_comment(db, actor, thread)
    _check_emoji(emoji)
    values = {"comment_id": comment.id, "user_id": actor.require_user(), "emoji": emoji}
    is_new = insert_missing(db, Reaction, [{**values, "created_at": clock.now()}]) > 0
    if is_new:
        tell(db, events.REACTION_ADDED, actor, comment_id=comment.id, emoji=emoji)
    return is_new


def remove_reaction(db: Session, actor: Actor, comment: Comment, emoji: str) -> None:
    """Take a reaction back; no error where there was none."""
    _check_emoji(emoji)
    found = db.get(Reaction, (comment.id, actor.require_user(), emoji))
    if found is not None:
        db.delete(found)
        db.flush()


def _check_emoji(emoji: str) -> None:
    if emoji not in EMOJI:
        raise BadRequest(lazy("emoji must be one of %(list)s.", list=" ".join(EMOJI)))


def count_reactions(db: Session, comment_id: int) -> int:
    return db.scalar(select(func.count()).where(Reaction.comment_id == comment_id)) or 0
