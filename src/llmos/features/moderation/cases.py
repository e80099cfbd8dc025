"""Judging cases: what was reported was right to report, or it was not."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.moderation.measures import hide, show
from llmos.features.moderation.models import OPEN, REJECTED, UPHELD, Case, Flag, Measure, Standing
from llmos.features.moderation.power import can_judge, check_moderator
from llmos.features.moderation.standing import is_moderator
from llmos.features.moderation.subjects import COMMENT, THREAD, Subject, get_subject
from llmos.infra.db.upsert import insert_missing
from llmos.infra.i18n import lazy
from llmos.infra.queue.outbox import emit

CASE_JUDGED = "ModerationCaseJudged"


def access_case(db: Session, actor: Actor, case_id: int) -> tuple[Case, Subject | None]:
    """A case and what it is about (None: deleted since), for those who may judge it.

    Reports are private: for everyone else there is no such case (NotFound).
    """
    case = db.get(Case, case_id) if 0 < case_id < 2**31 else None
    subject = get_subject(db, case.subject_kind, case.subject_id) if case is not None else None
    allowed = case is not None and (
        can_judge(db, actor, subject) if subject is not None else is_moderator(db, actor)
    )
    if case is None or not allowed:
        raise NotFound(lazy("There is no such case that you may judge."))
    return case, subject


def judge(
    db: Session, actor: Actor, case_id: int, outcome: str, *, note: str = "", hides: bool = True
) -> Case:
    """Decide a case. Upheld hides the thing (unless `hides` is False), rejected brings it back.

    The reporters' record counts the outcome. Two at once: the second gets Conflict.
    """
    case, subject = access_case(db, actor, case_id)
    if outcome not in (UPHELD, REJECTED):
        raise BadRequest(lazy("outcome must be upheld or rejected."))
    db.refresh(case, with_for_update={"of": Case})
    if case.state != OPEN:
        raise Conflict(lazy("Somebody else has judged this case meanwhile."))
    if subject is not None and subject.kind in (COMMENT, THREAD):
        if outcome == UPHELD and hides:
            hide(db, actor, subject, note or str(lazy("reported")), case_id=case.id)
        elif outcome == REJECTED and case.hidden_at is not None and subject.is_hidden:
            show(db, actor, subject, note, case_id=case.id)
    case.state, case.outcome, case.note = "judged", outcome, note.strip()[:1000]
    case.judged_at, case.judged_by_id = clock.now(), actor.user_id
    _count_outcome(db, case, outcome)
    if outcome == REJECTED:
        _mark_undone(db, case, actor)
    audit.record(db, actor, f"case.{outcome}", f"{case.subject_kind}:{case.subject_id}", note=case.note)
    emit(db, CASE_JUDGED, {"case_id": case.id})
    db.flush()
    return case


def reopen(db: Session, actor: Actor, case_id: int) -> Case:
    """Take a judgement back; what was hidden or shown by it is undone by its own measure."""
    case, _subject = access_case(db, actor, case_id)
    db.refresh(case, with_for_update={"of": Case})
    if case.state == OPEN or case.outcome is None:
        raise Conflict(lazy("This case is open."))
    _count_outcome(db, case, case.outcome, by=-1)
    case.state, case.outcome, case.judged_at, case.judged_by_id = OPEN, None, None, None
    audit.record(db, actor, "case.reopen", f"{case.subject_kind}:{case.subject_id}")
    db.flush()
    return case


def _count_outcome(db: Session, case: Case, outcome: str, *, by: int = 1) -> None:
    reporters = [
        user_id for user_id in db.scalars(select(Flag.reporter_id).where(Flag.case_id == case.id)) if user_id
    ]
    now = clock.now()
    zero = {"level": 0, "is_fixed": False, "is_moderator": False, "upheld_flags": 0, "rejected_flags": 0}
    insert_missing(db, Standing, [zero | {"user_id": user_id, "updated_at": now} for user_id in reporters])
    column = Standing.upheld_flags if outcome == UPHELD else Standing.rejected_flags
    db.execute(update(Standing).where(Standing.user_id.in_(reporters)).values({column: column + by}))


def _mark_undone(db: Session, case: Case, actor: Actor) -> None:
    """What the weight of the reports had hidden is back: that measure counts as undone."""
    db.execute(
        update(Measure)
        .where(Measure.case_id == case.id, Measure.actor_id.is_(None), Measure.undone_at.is_(None))
        .values(undone_at=clock.now(), undone_by_id=actor.user_id)
    )


def check_may_open_queue(db: Session, actor: Actor) -> None:
    """The site's queue is for moderators; maintainers see that of their own repositories."""
    check_moderator(db, actor)
