"""The end of a job and of an attempt, and what follows from it for others."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.features.auth.models import AccessToken
from llmos.features.jobs.models import Job, JobAttempt, JobNeed, Runner, RunnerCredit
from llmos.features.jobs.rules import ENGINE, after_needs
from llmos.infra.db.upsert import insert_missing
from llmos.infra.i18n import lazy
from llmos.infra.queue.outbox import emit


def end_attempt(
    db: Session, job: Job, attempt: JobAttempt, outcome: str, *, exit_code: int | None, reason: str
) -> None:
    """The lease is over and the job's own token gone; time given to others is credited."""
    attempt.ended_at, attempt.outcome = clock.now(), outcome
    attempt.exit_code, attempt.reason = exit_code, reason
    if attempt.token_id is not None:
        db.execute(delete(AccessToken).where(AccessToken.id == attempt.token_id))
        attempt.token_id = None
    if attempt.runner_owner_id != job.creator_id and _was_lent(job, attempt):
        credit(db, job, attempt)


# How an attempt ends that used its time as the job asked for, whatever came of it.
_USED = ("failed", "canceled", "timed_out")


def _was_lent(job: Job, attempt: JobAttempt) -> bool:
    """Whether the time counts now. That of a result which others must come to as well counts when they do;
    a runner that vanished or handed a job back gave nothing, but an engine served until then."""
    if attempt.outcome == "succeeded":
        return job.quorum <= 1 or attempt.is_trusted
    used = (*_USED, "released") if job.kind == ENGINE else _USED
    return attempt.running_at is not None and attempt.outcome in used


def credit(db: Session, job: Job, attempt: JobAttempt) -> None:
    """Thank a machine's owner for the time of an attempt that has ended, at most what the job may take."""
    user_id, ended_at = attempt.runner_owner_id, attempt.ended_at or clock.now()
    most = (attempt.running_at or attempt.started_at) - attempt.started_at + timedelta(seconds=job.timeout_s)
    seconds = min(max(ended_at - attempt.started_at, timedelta()), most).total_seconds()
    with db.no_autoflush:
        found = db.get(RunnerCredit, user_id, with_for_update=True)
        if found is None:
            insert_missing(db, RunnerCredit, [{"user_id": user_id, "seconds": 0.0, "job_count": 0}])
            found = db.get(RunnerCredit, user_id, with_for_update=True)
    if found is not None:
        found.seconds += seconds
        found.job_count += not _had_it_before(db, attempt)
    runner = db.get(Runner, attempt.runner_id) if attempt.runner_id else None
    if runner is not None:
        runner.credit_s += seconds


def _had_it_before(db: Session, attempt: JobAttempt) -> bool:
    """Whether the same person's machines were thanked for this job already."""
    earlier = select(JobAttempt.id).where(
        JobAttempt.job_id == attempt.job_id,
        JobAttempt.number < attempt.number,
        JobAttempt.runner_owner_id == attempt.runner_owner_id,
        JobAttempt.running_at.is_not(None),
        JobAttempt.outcome.in_(_USED),
    )
    return db.scalar(earlier.limit(1)) is not None


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
