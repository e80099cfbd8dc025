"""Reports. They are private, weighed by who makes them, and hide what many trusted people report.

A report weighs 0, 1, 2, 4 or 8 by the trust level of its maker, less when their reports were
often wrong. What weighs enough is hidden until a moderator has judged it: 4 for what a newcomer
wrote, up to 16 for a trusted person; what leaders wrote is never hidden unjudged. Newcomers'
reports weigh nothing, so a crowd of new accounts hides nothing.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, Conflict, TooManyRequests
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import User
from llmos.features.moderation import sanctions
from llmos.features.moderation.models import OPEN, REJECTED, Case, Flag, Measure, Standing
from llmos.features.moderation.standing import LEADER, level_of
from llmos.features.moderation.subjects import Subject
from llmos.infra.db.upsert import insert_missing
from llmos.infra.i18n import lazy
from llmos.infra.queue.outbox import emit

SPAM = "spam"
REASONS = {
    SPAM: lazy("Spam or advertising"),
    "abuse": lazy("Insults, harassment or hate"),
    "illegal": lazy("Illegal, or breaks somebody's rights"),
    "licence": lazy("Licence or copyright is not respected"),
    "harmful": lazy("Malware, or made to harm"),
    "personal": lazy("Personal data of others"),
    "off-topic": lazy("Off topic here"),
    "other": lazy("Something else"),
}
WEIGHTS = (0.0, 1.0, 2.0, 4.0, 8.0)
# By the level of whoever wrote the thing; leaders' posts are never hidden by reports.
HIDE_AT = (4.0, 6.0, 10.0, 16.0, float("inf"))
FLAGS_A_DAY = (5, 20, 40, 80, 1000)
MAX_NOTE_CHARS = 1000
SPAM_REPORTERS = 3
SILENCE_DAYS = 7
CASE_OPENED = "ModerationCaseOpened"


def file_flag(db: Session, actor: Actor, subject: Subject, reason: str, note: str = "") -> Case:
    """Report a thing to those who keep order there; a second report by the same person changes nothing.

    Raises Unauthenticated, Forbidden (suspended), BadRequest (reason, note), Conflict (one's own
    work), TooManyRequests (too many a day).
    """
    reporter_id = actor.require_user()
    actor.check_account_write()
    note = note.strip()
    if reason not in REASONS:
        raise BadRequest(lazy("reason must be one of %(reasons)s.", reasons=", ".join(REASONS)))
    if len(note) > MAX_NOTE_CHARS or "\0" in note:
        raise BadRequest(lazy("The note is too long: at most %(limit)s characters.", limit=MAX_NOTE_CHARS))
    if subject.owner_id == reporter_id:
        raise Conflict(lazy("This is your own: edit, hide or delete it instead of reporting it."))
    level = level_of(db, reporter_id)
    _check_pace(db, reporter_id, level)
    case = _open_case(db, subject)
    weight = _weight(db, reporter_id, level, case)
    row = {"case_id": case.id, "reporter_id": reporter_id, "reason": reason, "note": note,
           "weight": weight, "created_at": clock.now()}  # fmt: skip
    if not insert_missing(db, Flag, [row]):
        return case
    case.score += weight
    db.flush()
    audit.record(db, actor, "flag.file", f"{subject.kind}:{subject.id}", reason=reason)
    _act_on_weight(db, subject, case, level, reason)
    return case


def _check_pace(db: Session, reporter_id: int, level: int) -> None:
    since = clock.now() - timedelta(days=1)
    made = select(func.count()).where(Flag.reporter_id == reporter_id, Flag.created_at > since)
    if (db.scalar(made) or 0) >= FLAGS_A_DAY[level]:
        raise TooManyRequests(
            lazy("You have reported %(count)s things today: more tomorrow.", count=FLAGS_A_DAY[level]),
            data={"retry_after_s": 3600},
        )


def _open_case(db: Session, subject: Subject) -> Case:
    statement = (
        select(Case)
        .where(Case.subject_kind == subject.kind, Case.subject_id == subject.id, Case.state == OPEN)
        .with_for_update(of=Case)
    )
    found = db.scalars(statement).first()
    if found is not None:
        return found
    case = Case(
        subject_kind=subject.kind,
        subject_id=subject.id,
        repo_id=subject.repo.id if subject.repo is not None else None,
        owner_id=subject.owner_id,
        title=subject.title[:300],
        excerpt=subject.excerpt,
        href=subject.href[:1000],
        score=0.0,
    )
    db.add(case)
    db.flush()
    emit(db, CASE_OPENED, {"case_id": case.id})
    return case


def _weight(db: Session, reporter_id: int, level: int, case: Case) -> float:
    """By level and by how often the person was right; less for what was judged to be fine before."""
    row = db.get(Standing, reporter_id)
    right, wrong = (row.upheld_flags, row.rejected_flags) if row is not None else (0, 0)
    accuracy = (right + 2) / (right + wrong + 2)
    before = select(Case.id).where(
        Case.subject_kind == case.subject_kind,
        Case.subject_id == case.subject_id,
        Case.outcome == REJECTED,
    )
    return WEIGHTS[level] * accuracy * (0.5 if db.scalar(before.limit(1)) else 1.0)


def _act_on_weight(db: Session, subject: Subject, case: Case, level: int, reason: str) -> None:
    if subject.owner_id is None:
        return
    owner_level = level_of(db, subject.owner_id)
    spotted = reason == SPAM and level >= 3 and owner_level == 0
    if not subject.is_hidden and (case.score >= HIDE_AT[min(owner_level, LEADER)] or spotted):
        _hide_until_judged(db, subject, case)
    if owner_level == 0 and reason == SPAM:
        _silence_spammer(db, subject.owner_id)


def _hide_until_judged(db: Session, subject: Subject, case: Case) -> None:
    now = clock.now()
    if subject.comment is not None and subject.comment.id != (
        subject.thread.first_comment_id if subject.thread is not None else None
    ):
        subject.comment.hidden_at = now
        subject.comment.hidden_reason = "reported"
    elif subject.thread is not None:
        subject.thread.hidden_at = now
    else:
        return  # repositories, people and collections wait for a moderator
    case.hidden_at = now
    measure = Measure(
        case_id=case.id,
        verb="hide",
        subject_kind=subject.kind,
        subject_id=subject.id,
        user_id=subject.owner_id,
        reason="reported",
        data={"by": "reports", "score": case.score},
    )
    db.add(measure)
    db.flush()
    sanctions.tell_measure(db, measure)


def _silence_spammer(db: Session, owner_id: int) -> None:
    """Three members who report a newcomer for spam stop them until somebody has looked."""
    reporters = (
        select(func.count(Flag.reporter_id.distinct()))
        .join(Case, Flag.case_id == Case.id)
        .where(Case.owner_id == owner_id, Case.state == OPEN, Flag.reason == SPAM, Flag.weight > 0)
    )
    user = db.get(User, owner_id)
    if user is None or user.is_admin or user.is_sanctioned("suspend", "ban"):
        return
    if (db.scalar(reporters) or 0) >= SPAM_REPORTERS:
        sanctions.suspend_until_judged(db, user, days=SILENCE_DAYS)
