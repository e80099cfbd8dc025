"""What changes notifications: telling people, marking read, mail wishes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import User
from llmos.features.discussions.models import Thread
from llmos.features.notifications.models import Notification, NotificationSettings
from llmos.features.notifications.reasons import LABELS, MODES, NEVER, NOW, mail_modes
from llmos.infra.db.upsert import insert_new, upsert
from llmos.infra.i18n import lazy
from llmos.infra.queue.outbox import emit
from llmos.infra.runtime import Runtime

MAIL_TOPIC = "NotificationMail"


@dataclass(frozen=True, slots=True)
class News:
    """What happened. `event_key` is the same at every repetition; `kind` is a key of `wording.SENTENCES`."""

    kind: str
    event_key: str
    title: str = ""
    href: str = ""
    actor_id: int | None = None
    repo_id: int | None = None
    thread_id: int | None = None
    comment_id: int | None = None
    data: dict[str, Any] = field(default_factory=dict)


def notify(db: Session, recipients: Mapping[int, str], news: News) -> int:
    """Tell each person (id -> reason) once, in the caller's transaction; how many were told now.

    That they may see the thing is for the caller to check. Disabled people are left out, and
    whoever did it themselves. Mail that goes at once is queued with it.
    """
    ids = [user_id for user_id in recipients if user_id != news.actor_id]
    now = clock.now()
    shared = {
        "event_key": news.event_key,
        "kind": news.kind,
        "actor_id": news.actor_id,
        "repo_id": news.repo_id,
        "thread_id": news.thread_id,
        "comment_id": news.comment_id,
        "title": news.title[:300],
        "href": news.href[:600],
        "data": news.data,
        "created_at": now,
    }
    rows = []
    for user_id, has_mail, wishes in _people(db, ids):
        reason = recipients[user_id]
        mode = mail_modes(wishes).get(reason, NEVER) if has_mail else NEVER
        rows.append(shared | {"user_id": user_id, "reason": reason, "mail": mode})
    told = insert_new(db, Notification, rows, "user_id")
    for row in rows:
        if row["mail"] == NOW and row["user_id"] in told:
            emit(db, MAIL_TOPIC, {"user_id": row["user_id"], "key": news.event_key})
    return len(told)


def _people(db: Session, ids: list[int]) -> Iterator[tuple[int, bool, dict[str, Any] | None]]:
    """Id, whether mail can reach them, what they wish: of those whose account is not disabled."""
    for start in range(0, len(ids), 500):
        statement = (
            select(User.id, User.email_verified_at.is_not(None), NotificationSettings.mail)
            .outerjoin(NotificationSettings, NotificationSettings.user_id == User.id)
            .where(User.id.in_(ids[start : start + 500]), User.disabled_at.is_(None))
            .order_by(User.id)
        )
        yield from db.execute(statement)


def mark_read(db: Session, actor: Actor, ids: list[int]) -> None:
    """Mark some of the actor's own notifications as read; others' are left alone."""
    _mark(db, actor, Notification.id.in_(ids[:500]))


def mark_all_read(db: Session, actor: Actor, *, up_to_id: int | None = None) -> None:
    """Mark everything as read that the actor has been shown: nothing newer than `up_to_id`."""
    _mark(db, actor, Notification.id <= up_to_id if up_to_id is not None else Notification.id > 0)


def mark_thread_read(db: Session, actor: Actor, thread_id: int) -> None:
    """The actor has seen this thread."""
    if actor.user_id is not None:
        _mark(db, actor, Notification.thread_id == thread_id)


def note_thread_opened(rt: Runtime, db: Session, actor: Actor, thread: Thread) -> None:
    """For pages that show a thread: what the actor was told of it is read. Writes only if there is any."""
    if has_unread(db, actor, thread.id):
        with rt.database.writing() as own:
            mark_thread_read(own, actor, thread.id)


def has_unread(db: Session, actor: Actor, thread_id: int) -> bool:
    """Whether `mark_thread_read` would change anything; for pages that would rather not write."""
    statement = select(Notification.id).where(
        Notification.user_id == (actor.user_id or 0),
        Notification.thread_id == thread_id,
        Notification.read_at.is_(None),
    )
    return db.scalar(statement.limit(1)) is not None


def _mark(db: Session, actor: Actor, condition: Any) -> None:
    db.execute(
        update(Notification)
        .where(Notification.user_id == actor.require_user(), Notification.read_at.is_(None), condition)
        .values(read_at=clock.now())
    )


def get_wishes(db: Session, user_id: int) -> dict[str, str]:
    """For each reason when its mail goes."""
    row = db.get(NotificationSettings, user_id)
    return mail_modes(row.mail if row else None)


def change_wishes(db: Session, user_id: int, changes: Mapping[str, str]) -> None:
    """Set when the mail of some reasons goes. BadRequest for an unknown reason or word."""
    for reason, mode in changes.items():
        if reason not in LABELS or mode not in MODES:
            raise BadRequest(lazy("There is no mail setting %(name)r.", name=f"{reason}={mode}"[:80]))
    row = {"user_id": user_id, "mail": get_wishes(db, user_id) | dict(changes), "updated_at": clock.now()}
    upsert(db, NotificationSettings, [row], keys=["user_id"], update=["mail", "updated_at"])
