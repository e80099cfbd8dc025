"""Whether a call about a job comes from whoever holds it now."""

from __future__ import annotations

import logging
from datetime import timedelta

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session, lazyload

from llmos.core import clock
from llmos.core.errors import NotFound
from llmos.features.jobs.models import Job, JobAttempt, Runner
from llmos.features.jobs.rules import LeaseLost
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.security.secrets import hash_secret

log = logging.getLogger("llmos.jobs")


def lock_job(db: Session, job_id: int) -> Job:
    """The job's row, fresh, and ours until the transaction ends."""
    return db.scalars(_locked(Job.id == job_id)).one()


def _locked(which: ColumnElement[bool]) -> Select[Job]:
    # Alone: rows that are joined from the outside cannot be locked, and most callers need none.
    statement = select(Job).where(which).options(lazyload("*")).with_for_update()
    return statement.execution_options(populate_existing=True)


def hold(db: Session, runner: Runner, object_id: str, lease_token: str) -> tuple[Job, JobAttempt]:
    """The job, locked, and the attempt the lease belongs to, which may have ended.

    Raises NotFound when the job is gone, LeaseLost for a lease that never was this job's or
    another runner's.
    """
    job = db.scalars(_locked(Job.object_id == object_id)).first()
    if job is None:
        raise NotFound(lazy("There is no such job."))
    attempt = db.scalar(
        select(JobAttempt)
        .where(JobAttempt.lease_hash == hash_secret(lease_token))
        .execution_options(populate_existing=True)
    )
    if attempt is None or attempt.job_id != job.id or attempt.runner_id != runner.id:
        raise _lost(runner, job, "a lease that is not its own")
    return job, attempt


def check_open(runner: Runner, job: Job, attempt: JobAttempt) -> None:
    """Raises LeaseLost, and notes it, when the attempt is over: its results count no more."""
    if attempt.ended_at is not None or attempt.number != job.attempt:
        raise _lost(runner, job, f"attempt {attempt.number}, which is over ({attempt.outcome})")


def renew(rt: Runtime, attempt: JobAttempt) -> None:
    """Also a lease that has just run out, as long as nobody else has the job: nothing was lost."""
    attempt.lease_expires_at = clock.now() + timedelta(seconds=rt.settings.job_lease_s)


def _lost(runner: Runner, job: Job, what: str) -> LeaseLost:
    log.warning("runner %s (%s) spoke of job %s with %s", runner.name, runner.object_id, job.object_id, what)
    return LeaseLost(
        lazy("This job is no longer yours: stop it, and forget its results."),
        data={"state": job.state, "code": LeaseLost.code},
    )
