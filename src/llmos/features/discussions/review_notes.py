"""Notes on lines that somebody gathers while reading a pull request; their review sends them together.

Until then they are their author's alone: no row of a comment, no news, nothing to search.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest, NotFound
from llmos.features.accounts.actor import Actor
from llmos.features.discussions.comments import LinePlace, check_place
from llmos.features.discussions.models import DRAFT, OPEN, Comment, ReviewNote, Thread
from llmos.features.discussions.policy import check_can_comment
from llmos.features.discussions.reviews import LineNote
from llmos.features.discussions.texts import check_text
from llmos.infra.i18n import lazy

MAX_NOTES = 100


def keep_note(
    db: Session, actor: Actor, thread: Thread, text: str, place: LinePlace, reply_to: Comment | None = None
) -> ReviewNote:
    """Gather a note for the actor's next review. Refused as a comment would be, where the pull
    request is over, and beyond MAX_NOTES (400)."""
    check_can_comment(db, actor, thread)
    if thread.pull is None or thread.status not in (OPEN, DRAFT):
        raise BadRequest(lazy("Only an open pull request can be reviewed."))
    if reply_to is not None and reply_to.thread_id != thread.id:
        raise BadRequest(lazy("A reply must answer a comment of the same thread."))
    check_place(place)
    count = db.scalar(select(func.count()).select_from(ReviewNote).where(*_own(actor, thread))) or 0
    if count >= MAX_NOTES:
        raise BadRequest(
            lazy("A review holds at most %(limit)s comments on lines: send it first.", limit=MAX_NOTES)
        )
    note = ReviewNote(
        thread_id=thread.id,
        author_id=actor.require_user(),
        text=check_text(text),
        reply_to_id=reply_to.id if reply_to else None,
        path=place.path,
        side=place.side,
        line=place.line,
        start_line=place.start_line,
        oid=place.oid,
    )
    db.add(note)
    db.flush()
    return note


def _own(actor: Actor, thread: Thread) -> tuple[ColumnElement[bool], ...]:
    return ReviewNote.thread_id == thread.id, ReviewNote.author_id == actor.require_user()


def list_notes(db: Session, actor: Actor, thread: Thread) -> Sequence[ReviewNote]:
    """What the actor has gathered for this pull request, oldest first."""
    if actor.user_id is None:
        return ()
    return db.scalars(select(ReviewNote).where(*_own(actor, thread)).order_by(ReviewNote.id)).all()


def access_note(db: Session, actor: Actor, thread: Thread, public_id: str) -> ReviewNote:
    """One of the actor's own notes; NotFound for everybody else's."""
    statement = select(ReviewNote).where(*_own(actor, thread), ReviewNote.public_id == public_id[:24])
    note = db.scalars(statement).one_or_none() if public_id.isalnum() else None
    if note is None:
        raise NotFound(lazy("There is no such note of yours here: it may have been sent already."))
    return note


def change_note(db: Session, actor: Actor, thread: Thread, public_id: str, text: str) -> ReviewNote:
    """Give a note other words."""
    note = access_note(db, actor, thread, public_id)
    note.text = check_text(text)
    db.flush()
    return note


def drop_notes(db: Session, actor: Actor, thread: Thread, public_id: str | None = None) -> None:
    """Throw one note away, or all of them; none there is no error."""
    conditions = list(_own(actor, thread))
    if public_id is not None:
        conditions.append(ReviewNote.public_id == public_id[:24])
    db.execute(delete(ReviewNote).where(*conditions))


def take_notes(db: Session, actor: Actor, thread: Thread) -> list[LineNote]:
    """The gathered notes, for `submit_review`; they are gone with the transaction that sends them."""
    statement = select(ReviewNote).where(*_own(actor, thread)).order_by(ReviewNote.id).with_for_update()
    taken: list[LineNote] = []
    for note in db.scalars(statement).all():
        place = LinePlace(note.path, note.side, note.line, note.oid, note.start_line)
        reply_to = db.get(Comment, note.reply_to_id) if note.reply_to_id else None
        taken.append(LineNote(place, note.text, reply_to))
        db.delete(note)
    return taken
