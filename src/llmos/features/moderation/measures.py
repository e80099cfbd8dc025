"""What moderators do to things, each on record and each undone by one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.discussions import events
from llmos.features.discussions.events import add_event, tell
from llmos.features.discussions.models import TOPIC, Category, Thread
from llmos.features.discussions.threads import lock_thread_row
from llmos.features.moderation import sanctions, surgery
from llmos.features.moderation.models import BAN, SUSPEND, WARN, Measure
from llmos.features.moderation.power import check_can_judge, check_moderator
from llmos.features.moderation.subjects import COMMENT, THREAD, Subject, get_subject
from llmos.infra.i18n import lazy

HIDE, SHOW, LOCK, UNLOCK, MOVE, SPLIT, MERGE = "hide", "show", "lock", "unlock", "move", "split", "merge"


def hide(db: Session, actor: Actor, subject: Subject, reason: str, *, case_id: int | None = None) -> Measure:
    """Take a comment or a thread out of sight; its author and those who keep order still see it."""
    check_can_judge(db, actor, subject)
    reason = sanctions.check_reason(reason)
    _set_hidden(db, subject, actor.user_id, reason)
    return _record(db, actor, HIDE, subject, reason, case_id=case_id)


def show(
    db: Session, actor: Actor, subject: Subject, reason: str = "", *, case_id: int | None = None
) -> Measure:
    """Bring it back into sight."""
    check_can_judge(db, actor, subject)
    _set_shown(db, subject)
    return _record(db, actor, SHOW, subject, reason[:1000], case_id=case_id)


def _set_hidden(db: Session, subject: Subject, actor_id: int | None, reason: str) -> None:
    if subject.comment is not None and subject.comment.id != _first_id(subject):
        comment = subject.comment
        if comment.hidden_at is None:
            comment.hidden_at, comment.hidden_by_id = clock.now(), actor_id
        comment.hidden_reason = reason[:300]
        if subject.thread is not None and subject.thread.answer_id == comment.id:
            subject.thread.answer_id = None
        tell(
            db,
            events.COMMENT_HIDDEN,
            Actor(user_id=actor_id),
            thread_id=comment.thread_id,
            comment_id=comment.id,
        )
    elif subject.thread is not None:
        if subject.thread.hidden_at is None:
            subject.thread.hidden_at, subject.thread.hidden_by_id = clock.now(), actor_id
    else:
        raise BadRequest(
            lazy("Only comments and threads can be hidden: sanction the person, or change the repository.")
        )
    db.flush()


def _set_shown(db: Session, subject: Subject) -> None:
    if subject.comment is not None and subject.comment.id != _first_id(subject):
        subject.comment.hidden_at = subject.comment.hidden_by_id = None
        subject.comment.hidden_reason = ""
    elif subject.thread is not None:
        subject.thread.hidden_at = subject.thread.hidden_by_id = None
    db.flush()


def _first_id(subject: Subject) -> int | None:
    """The description stands for its thread: hiding it hides the thread."""
    return subject.thread.first_comment_id if subject.thread is not None else None


def lock(db: Session, actor: Actor, subject: Subject, reason: str, *, is_locked: bool = True) -> Measure:
    """Let only those who keep order write in a thread, or everyone again."""
    check_can_judge(db, actor, subject)
    thread = _thread_of(subject)
    _set_locked(db, actor, thread, is_locked)
    return _record(db, actor, LOCK if is_locked else UNLOCK, subject, reason[:1000])


def _set_locked(db: Session, actor: Actor, thread: Thread, is_locked: bool) -> None:
    thread = lock_thread_row(db, thread.id)
    if thread.is_locked != is_locked:
        thread.is_locked = is_locked
        add_event(db, actor, thread, events.LOCKED, {"locked": is_locked})
        db.flush()


def move(db: Session, actor: Actor, subject: Subject, category: Category) -> Measure:
    """Put a topic of the forum into another category."""
    check_can_judge(db, actor, subject)
    thread = _thread_of(subject)
    if thread.kind != TOPIC:
        raise BadRequest(lazy("Only topics of the forum can be moved to another category."))
    if thread.category_id == category.id:
        raise Conflict(lazy("The topic is in this category already."))
    old = thread.category_id
    surgery.set_category(db, actor, thread, category.id)
    return _record(db, actor, MOVE, subject, "", data={"from": old, "to": category.id})


def split(db: Session, actor: Actor, subject: Subject, comment_ids: list[int], title: str) -> Measure:
    """Make a thread of its own of some comments of a thread, beside it. The measure's `data` names it."""
    check_can_judge(db, actor, subject)
    thread = _thread_of(subject)
    new = surgery.split_thread(db, actor, thread, comment_ids, title)
    return _record(db, actor, SPLIT, subject, "", data={"new_id": new.id, "comments": sorted(comment_ids)})


def merge(db: Session, actor: Actor, subject: Subject, target: Subject) -> Measure:
    """Move all comments of a thread into another one of the same place; the
    emptied one is closed and hidden."""
    check_can_judge(db, actor, subject)
    check_can_judge(db, actor, target)
    moved = surgery.merge_threads(db, actor, _thread_of(subject), _thread_of(target))
    data = {"target_id": _thread_of(target).id, "comments": moved}
    return _record(db, actor, MERGE, subject, "", data=data)


def _thread_of(subject: Subject) -> Thread:
    if subject.kind not in (THREAD, COMMENT) or subject.thread is None:
        raise BadRequest(lazy("This can be done to threads only."))
    return subject.thread


def _record(
    db: Session,
    actor: Actor,
    verb: str,
    subject: Subject,
    reason: str,
    *,
    case_id: int | None = None,
    data: dict[str, Any] | None = None,
) -> Measure:
    measure = Measure(
        case_id=case_id,
        actor_id=actor.user_id,
        verb=verb,
        subject_kind=subject.kind,
        subject_id=subject.id,
        user_id=subject.owner_id,
        reason=reason,
        data=data or {},
    )
    db.add(measure)
    db.flush()
    audit.record(db, actor, f"moderation.{verb}", f"{subject.kind}:{subject.id}", reason=reason)
    sanctions.tell_measure(db, measure)
    return measure


def access_measure(db: Session, actor: Actor, measure_id: int) -> Measure:
    """A measure, for whoever may judge the thing it was done to. Raises NotFound."""
    measure = db.get(Measure, measure_id)
    subject = get_subject(db, measure.subject_kind, measure.subject_id) if measure is not None else None
    if measure is None:
        raise NotFound(lazy("There is no such measure."))
    if subject is None or measure.verb in (WARN, SUSPEND, BAN):
        check_moderator(db, actor)
    else:
        check_can_judge(db, actor, subject)
    return measure


def undo(db: Session, actor: Actor, measure: Measure) -> None:
    """Reverse a measure. The caller has checked by `access_measure` that the actor may.

    Conflict when it was undone already, or when the thing is gone or changed too much since.
    """
    db.refresh(measure, with_for_update={"of": Measure})
    if measure.undone_at is not None:
        raise Conflict(lazy("This was undone already."))
    if measure.verb in (WARN, SUSPEND, BAN):
        sanctions.lift(db, actor, measure)
    else:
        subject = get_subject(db, measure.subject_kind, measure.subject_id)
        if subject is None:
            raise Conflict(lazy("What this was done to has been deleted since."))
        _UNDO[measure.verb](db, actor, subject, measure.data)
    measure.undone_at, measure.undone_by_id = clock.now(), actor.user_id
    audit.record(db, actor, f"moderation.undo-{measure.verb}", f"{measure.subject_kind}:{measure.subject_id}")
    db.flush()


_UNDO: dict[str, Callable[[Session, Actor, Subject, dict[str, Any]], None]] = {
    HIDE: lambda db, actor, subject, data: _set_shown(db, subject),
    SHOW: lambda db, actor, subject, data: _set_hidden(db, subject, actor.user_id, "hidden"),
    LOCK: lambda db, actor, subject, data: _set_locked(db, actor, _thread_of(subject), False),
    UNLOCK: lambda db, actor, subject, data: _set_locked(db, actor, _thread_of(subject), True),
    MOVE: lambda db, actor, subject, data: surgery.set_category(db, actor, _thread_of(subject), data["from"]),
    SPLIT: lambda db, actor, subject, data: surgery.join_again(db, actor, _thread_of(subject), data),
    MERGE: lambda db, actor, subject, data: surgery.part_again(db, actor, _thread_of(subject), data),
}
