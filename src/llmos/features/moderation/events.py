"""Outbox handlers and reminders: who hears of reports, measures and appeals.

Moderators are not named to the person a measure is taken against, nor reporters to anybody.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.features.accounts.models import Membership, User
from llmos.features.moderation.appeals import APPEAL_ANSWERED, APPEAL_FILED
from llmos.features.moderation.cases import CASE_JUDGED
from llmos.features.moderation.flags import CASE_OPENED
from llmos.features.moderation.models import OPEN, REJECTED, UPHELD, Appeal, Case, Flag, Measure, Standing
from llmos.features.moderation.sanctions import MEASURE_TAKEN
from llmos.features.moderation.subjects import COMMENT, THREAD, get_subject
from llmos.features.moderation.wording import BY_REPORTS, VERBS
from llmos.features.notifications import reasons
from llmos.features.notifications.service import News, notify
from llmos.features.repos.models import Repo
from llmos.infra.queue.outbox import on
from llmos.infra.runtime import Runtime

Payload = dict[str, Any]
REMIND_AFTER = timedelta(hours=48)
STANDING = "/moderation/standing"


def moderator_ids(db: Session) -> set[int]:
    """Administrators and named moderators, without those who cannot act now."""
    statement = (
        select(User)
        .outerjoin(Standing, Standing.user_id == User.id)
        .where(User.disabled_at.is_(None), User.is_admin.is_(True) | Standing.is_moderator.is_(True))
    )
    users = db.scalars(statement).unique()
    return {user.id for user in users if not user.is_sanctioned("suspend", "ban")}


def maintainer_ids(db: Session, repo: Repo) -> set[int]:
    """Who may write to all of a repository."""
    if repo.namespace.kind == "user":
        return {repo.namespace_id}
    statement = select(Membership.user_id).where(
        Membership.org_id == repo.namespace_id, Membership.role.in_(("write", "admin"))
    )
    return set(db.scalars(statement))


def _judges(db: Session, case: Case) -> dict[int, str]:
    """Whoever may judge a case; nobody judges what they wrote themselves."""
    people = moderator_ids(db)
    repo = db.get(Repo, case.repo_id) if case.repo_id is not None else None
    if repo is not None and case.subject_kind in (COMMENT, THREAD):
        people |= maintainer_ids(db, repo)
    return dict.fromkeys(people - {case.owner_id}, reasons.MODERATION)


def _tell_judges(db: Session, case: Case, kind: str, event_key: str) -> None:
    news = News(kind, event_key, case.title, f"/moderation/cases/{case.id}")
    notify(db, _judges(db, case), news)


@on(CASE_OPENED)
def case_opened(db: Session, payload: Payload) -> None:
    case = db.get(Case, payload["case_id"])
    if case is not None and case.state == OPEN:
        _tell_judges(db, case, "moderation.case", f"case:{case.id}")


@on(MEASURE_TAKEN)
def measure_taken(db: Session, payload: Payload) -> None:
    measure = db.get(Measure, payload["measure_id"])
    if measure is None or measure.user_id is None or measure.user_id == measure.actor_id:
        return
    if measure.verb not in VERBS or measure.undone_at is not None:
        return
    subject = get_subject(db, measure.subject_kind, measure.subject_id)
    is_person = measure.subject_kind == "user"
    news = News(
        kind=f"moderation.{measure.verb}",
        event_key=f"measure:{measure.id}",
        title=subject.title if subject is not None and not is_person else "",
        href=f"{STANDING}#measure-{measure.id}",
        data={"text": "" if measure.reason == BY_REPORTS else measure.reason},
    )
    notify(db, {measure.user_id: reasons.MODERATION}, news)


@on(CASE_JUDGED)
def case_judged(db: Session, payload: Payload) -> None:
    case = db.get(Case, payload["case_id"])
    if case is None or case.outcome not in (UPHELD, REJECTED) or case.judged_at is None:
        return
    reporters = set(db.scalars(select(Flag.reporter_id).where(Flag.case_id == case.id)))
    people = {user_id: reasons.MODERATION for user_id in reporters - {case.judged_by_id} if user_id}
    key = f"judged:{case.id}:{int(case.judged_at.timestamp())}"
    notify(db, people, News(f"moderation.{case.outcome}", key, case.title, f"{STANDING}#reports"))


@on(APPEAL_FILED)
def appeal_filed(db: Session, payload: Payload) -> None:
    appeal = db.get(Appeal, payload["appeal_id"])
    if appeal is None or appeal.state != OPEN:
        return
    people = moderator_ids(db)
    # Another moderator answers, if there is one.
    people = people - {appeal.measure.actor_id} or people
    news = News(
        "moderation.appeal", f"appeal:{appeal.id}", appeal.user.name,
        f"/moderation/appeals#appeal-{appeal.id}", actor_id=appeal.user_id,
    )  # fmt: skip
    notify(db, dict.fromkeys(people, reasons.MODERATION), news)


@on(APPEAL_ANSWERED)
def appeal_answered(db: Session, payload: Payload) -> None:
    appeal = db.get(Appeal, payload["appeal_id"])
    if appeal is None or appeal.state == OPEN:
        return
    news = News(
        kind=f"moderation.appeal-{appeal.state}",
        event_key=f"appeal-answer:{appeal.id}",
        href=f"{STANDING}#measure-{appeal.measure_id}",
        data={"text": appeal.answer},
    )
    notify(db, {appeal.user_id: reasons.MODERATION}, news)


def remind_of_cases(rt: Runtime) -> None:
    """Tell those who may judge, once a case, that it has been open for two days."""
    before = clock.now() - REMIND_AFTER
    waiting = (Case.state == OPEN) & (Case.opened_at < before) & Case.reminded_at.is_(None)
    with rt.database.reading() as db:
        if db.scalar(select(Case.id).where(waiting).limit(1)) is None:
            return
    with rt.database.writing() as db:
        for case in db.scalars(select(Case).where(waiting).order_by(Case.id).limit(200)):
            case.reminded_at = clock.now()
            _tell_judges(db, case, "moderation.waiting", f"case:{case.id}:waiting")
