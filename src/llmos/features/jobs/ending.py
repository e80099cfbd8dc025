"""The end of a job and of an attempt, and what follows from it for others."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.features.auth.models import AccessToken
from llmos.features.jobs.models import Job, JobAttempt, JobNeed, Runner, RunnerCredit
from llmos.features.jobs.rules import after_needs
from llmos.infra.db.upsert import insert_missing
from llmos.infra.i18n import lazy
from llmos.infra.queue.outbox import emit


def end_attempt(
    db: Session, job: Job, attempt: JobAttempt, outcome: str, *, exit_code: int | None, reason: str
) -> None:
    """The lease is over and the job's own token gone; time given to others is credited."""
    now = clock.now()
    attempt.ended_at, attempt.outcome = now, outcome
    attempt.exit_code, attempt.reason = exit_code, reason
    if attempt.token_id is not None:
        db.execute(delete(AccessToken).where(AccessToken.id == attempt.token_id))
        attempt.token_id = None
    seconds = max((now - attempt.started_at).total_seconds(), 0.0)
    if outcome == "succeeded" and attempt.runner_owner_id != job.creator_id:
        _credit(db, attempt, seconds)


def _credit(db: Session, attempt: JobAttempt, seconds: float) -> None:
    user_id = attempt.runner_owner_id
    with db.no_autoflush:
        credit = db.get(RunnerCredit, user_id, with_for_update=True)
        if credit is None:
            insert_missing(db, RunnerCredit, [{"user_id": user_id, "seconds": 0.0, "job_count": 0}])
            credit = db.get(RunnerCredit, user_id, with_for_update=True)
    if credit is not None:
        credit.seconds += seconds
        credit.job_count += 1
    runner = db.get(Runner, attempt.runner_id) if attempt.runner_id else None
    if runner is not None:
        runner.credit_s += seconds


def end_job(db: Session, job: Job, state: str, *, reason: str, exit_code: int | None = None) -> None:
    """Put a job into a final state and tell those who wait for it."""
    job.state, job.reason, job.exit_code = state, reason, exit_code
    job.finished_at = clock.now()
    job.phase = ""
    emit(db, "JobFinished", {"job_id": job.id, "state": state, "actor_id": job.creator_id})
    with db.no_autoflush:
        ids = db.scalars(select(JobNeed.job_id).where(JobNeed.needs_id == job.id)).all()
    if ids:
        db.flush()
        settle_waiting(db, db.scalars(select(Job).where(Job.id.in_(ids), Job.state == "waiting")).all())


def settle_waiting(db: Session, jobs: Iterable[Job]) -> None:
    """Let jobs go on whose needs have all succeeded; cancel those that wait for what failed."""
    for job in jobs:
        if job.state != "waiting":
            continue
        needs = select(Job.state).join(JobNeed, JobNeed.needs_id == Job.id).where(JobNeed.job_id == job.id)
        state = after_needs(list(db.scalars(needs)))
        if state == "queued":
            job.state, job.available_at = "queued", clock.now()
        elif state is not None:
            end_job(db, job, state, reason=lazy("A job it needs has not succeeded."))
