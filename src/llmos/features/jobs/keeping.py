"""What the background process does for jobs: leases that ran out, time limits, schedules that are due."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.features.jobs.ending import end_attempt, end_job
from llmos.features.jobs.leases import lock_job
from llmos.features.jobs.models import Job, JobAttempt, Schedule
from llmos.features.jobs.reporting import requeue
from llmos.features.jobs.rules import ACTIVE, ENGINE, PENDING, after_loss
from llmos.features.jobs.schedules import run_due
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime

log = logging.getLogger("llmos.jobs")

# A runner stops its job itself; this is for one that does not.
_OVERTIME = timedelta(minutes=10)
_BATCH = 100


class JobKeeper:
    """For the worker, every few seconds.

    Right after the start no lease is taken away: while the hub was down runners could not be heard.
    """

    def __init__(self) -> None:
        self._started_s = time.monotonic()

    def __call__(self, rt: Runtime) -> None:
        if time.monotonic() - self._started_s >= rt.settings.job_lease_s:
            expire_leases(rt)
        run_due(rt)


def next_work_at(db: Session) -> datetime | None:
    """When the keeper is needed next: now while a job is under way, or at the time of a schedule."""
    if db.scalar(select(Job.id).where(Job.state.in_((*PENDING, *ACTIVE))).limit(1)) is not None:
        return clock.now()
    return db.scalar(select(func.min(Schedule.next_at)).where(Schedule.is_suspended.is_(False)))


def expire_leases(rt: Runtime) -> int:
    """End attempts whose lease, or whose time, ran out; return how many. Their jobs go on elsewhere."""
    with rt.database.reading() as db:
        ids = db.scalars(
            select(JobAttempt.id)
            .where(JobAttempt.ended_at.is_(None), JobAttempt.lease_expires_at < clock.now())
            .limit(_BATCH)
        ).all()
        late = _overtime(db)
    for attempt_id in {*ids, *late}:
        with rt.database.writing() as db:
            _expire(db, attempt_id, is_late=attempt_id in late)
    return len({*ids, *late})


def _overtime(db: Session) -> list[int]:
    now = clock.now()
    rows = db.execute(
        select(JobAttempt.id, JobAttempt.running_at, Job.timeout_s)
        .join(Job, Job.id == JobAttempt.job_id)
        .where(JobAttempt.ended_at.is_(None), JobAttempt.running_at.is_not(None))
    )
    return [row.id for row in rows if row.running_at + timedelta(seconds=row.timeout_s) + _OVERTIME < now]


def _expire(db: Session, attempt_id: int, *, is_late: bool) -> None:
    attempt = db.get(JobAttempt, attempt_id)
    if attempt is None:
        return
    job = lock_job(db, attempt.job_id)
    db.refresh(attempt)
    if attempt.ended_at is not None or (not is_late and attempt.lease_expires_at >= clock.now()):
        return
    log.warning("job %s: attempt %s on %s is lost", job.object_id, attempt.number, attempt.runner_name)
    if is_late:
        end_attempt(db, job, attempt, "timed_out", exit_code=None, reason="")
        end_job(db, job, "timed_out", reason=lazy("It took longer than it may."))
        return
    end_attempt(db, job, attempt, "lost", exit_code=None, reason="")
    job.lost_count += 1
    state = after_loss(
        is_cancel_requested=job.cancel_requested_at is not None,
        losses=job.lost_count,
        is_engine=job.kind == ENGINE,
    )
    if state == "queued":
        requeue(db, job, attempt, "lost", "Its runner was not heard of any more.")
    else:
        end_job(db, job, state, reason=lazy("Its runner was not heard of any more."))
