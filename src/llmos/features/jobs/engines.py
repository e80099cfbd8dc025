"""Jobs that serve a model: made and ended by an endpoint, and kept apart from people's jobs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.features.jobs.ending import end_job
from llmos.features.jobs.leases import check_open, hold, lock_job
from llmos.features.jobs.models import Job, JobAttempt, Runner
from llmos.features.jobs.requests import JobRequest
from llmos.features.jobs.rules import ENGINE, PENDING, LeaseLost
from llmos.infra.i18n import lazy
from llmos.wire.jobs import JobInput

MODEL_PATH = "/model"
# The model that an adapter at MODEL_PATH changes.
BASE_PATH = "/base"
# An engine ends when its endpoint wants it to.
FOREVER_S = 10 * 365 * 86400.0
LABEL = "serving"


def add_engine_job(
    db: Session,
    *,
    namespace_id: int,
    creator_id: int,
    repo_name: str,
    revision: str,
    engine: dict[str, Any],
    memory_bytes: int,
    gpus: int = 0,
    title: str = "",
) -> Job:
    """Queue an engine for a model at a commit. The creator must be somebody who may read it.

    It counts against nobody's jobs; call `waking.wake_runners` after the commit.
    """
    places = [JobInput(type="model", repo=repo_name, revision=revision, path=MODEL_PATH)]
    base, _, commit = str(engine.get("base") or "").partition("@")
    if base:
        places.append(JobInput(type="model", repo=base, revision=commit, path=BASE_PATH))
    inputs = [place.model_dump(mode="json") for place in places]
    request = JobRequest(labels={LABEL: repo_name})
    job = Job(
        namespace_id=namespace_id,
        creator_id=creator_id,
        kind=ENGINE,
        title=(title or repo_name)[:200],
        spec=request.stored() | {"inputs": inputs, "engine": engine},
        labels=request.labels,
        state="queued",
        memory_bytes=memory_bytes,
        gpus=gpus,
        timeout_s=FOREVER_S,
    )
    db.add(job)
    db.flush()
    return job


def hold_engine(db: Session, runner: Runner, object_id: str, lease_token: str) -> tuple[Job, JobAttempt]:
    """The engine's job that this runner holds. Raises NotFound, LeaseLost; also for other kinds of job."""
    job, attempt = hold(db, runner, object_id, lease_token)
    check_open(runner, job, attempt)
    if job.kind != ENGINE:
        raise LeaseLost(lazy("Only engines have a channel."))
    return job, attempt


def stop_engine(db: Session, job_id: int) -> None:
    """End an engine: at once if it waits, else as soon as its runner hears of it."""
    job = lock_job(db, job_id)
    if job.is_over:
        return
    job.cancel_requested_at = job.cancel_requested_at or clock.now()
    if job.state in PENDING:
        end_job(db, job, "canceled", reason="")


def was_handed_back(db: Session, job_id: int) -> bool:
    """Whether its runner gave the engine back, as one that was restarted does: no fault of the model."""
    statement = select(JobAttempt.outcome).where(JobAttempt.job_id == job_id)
    return db.scalar(statement.order_by(JobAttempt.number.desc()).limit(1)) == "released"
