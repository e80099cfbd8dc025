"""Appeals: whoever a measure was taken against may ask once for a second look."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, Conflict, Forbidden, NotFound
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import User
from llmos.features.moderation.measures import undo
from llmos.features.moderation.models import OPEN, REJECTED, UPHELD, Appeal, Measure, Standing
from llmos.features.moderation.power import check_moderator
from llmos.infra.db.upsert import insert_missing
from llmos.infra.i18n import lazy
from llmos.infra.queue.outbox import emit

MAX_TEXT_CHARS = 5000
APPEAL_FILED = "ModerationAppealFiled"
APPEAL_ANSWERED = "ModerationAppealAnswered"


def file_appeal(db: Session, actor: Actor, measure_id: int, text: str) -> Appeal:
    """Ask for a second look; suspended and banned people may. Once per measure.

    Raises NotFound (not against oneself), Conflict (undone, or appealed already), BadRequest (text).
    """
    user_id = actor.require_user()
    measure = db.get(Measure, measure_id)
    if measure is None or measure.user_id != user_id or measure.verb in ("show", "unlock"):
        raise NotFound(lazy("There is no such measure against you."))
    if measure.undone_at is not None:
        raise Conflict(lazy("This was undone already."))
    text = text.strip()
    if not text or len(text) > MAX_TEXT_CHARS or "\0" in text:
        raise BadRequest(
            lazy("Say in at most %(limit)s characters why this was wrong.", limit=MAX_TEXT_CHARS)
        )
    row = {"measure_id": measure.id, "user_id": user_id, "text": text, "state": OPEN, "answer": "",
           "created_at": clock.now()}  # fmt: skip
    if not insert_missing(db, Appeal, [row]):
        raise Conflict(lazy("You have appealed this already: the answer comes here."))
    appeal = db.scalars(select(Appeal).where(Appeal.measure_id == measure.id)).unique().one()
    audit.record(db, actor, "appeal.file", f"measure:{measure.id}")
    emit(db, APPEAL_FILED, {"appeal_id": appeal.id})
    return appeal


def answer_appeal(db: Session, actor: Actor, appeal_id: int, outcome: str, answer: str) -> Appeal:
    """Judge again: upheld undoes the measure, rejected leaves it. Needs an answer the person will read.

    Not by whoever took the measure, as long as another moderator is there (Forbidden). Two at once:
    the second gets Conflict.
    """
    check_moderator(db, actor)
    appeal = db.get(Appeal, appeal_id) if 0 < appeal_id < 2**31 else None
    if appeal is None:
        raise NotFound(lazy("There is no such appeal."))
    if outcome not in (UPHELD, REJECTED):
        raise BadRequest(lazy("outcome must be upheld or rejected."))
    if not answer.strip() or len(answer) > 2000:
        raise BadRequest(lazy("Give an answer of at most %(limit)s characters.", limit=2000))
    db.refresh(appeal, with_for_update={"of": Appeal})
    if appeal.state != OPEN:
        raise Conflict(lazy("Somebody else has answered this appeal meanwhile."))
    if appeal.measure.actor_id == actor.user_id and actor.user_id is not None and _has_others(db, actor):
        raise Forbidden(lazy("You took this measure yourself: let another moderator judge the appeal."))
    if outcome == UPHELD and appeal.measure.undone_at is None:
        undo(db, actor, appeal.measure)
    appeal.state, appeal.answer = outcome, answer.strip()
    appeal.answered_at, appeal.answered_by_id = clock.now(), actor.user_id
    audit.record(db, actor, f"appeal.{outcome}", f"measure:{appeal.measure_id}")
    emit(db, APPEAL_ANSWERED, {"appeal_id": appeal.id})
    db.flush()
    return appeal


def _has_others(db: Session, actor: Actor) -> bool:
    statement = (
        select(func.count())
        .select_from(User)
        .outerjoin(Standing, Standing.user_id == User.id)
        .where(
            User.id != actor.user_id,
            User.disabled_at.is_(None),
            User.is_admin.is_(True) | Standing.is_moderator.is_(True),
        )
    )
    return bool(db.scalar(statement))
