"""Whose turn it is: from a runner that asks to a job under a lease.

First a look without locks at what would fit, then one short transaction that takes one job. On
PostgreSQL several take at once (`SKIP LOCKED`); on SQLite one writer follows the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import Session, lazyload

from llmos.core import clock
from llmos.core.ids import new_access_token, new_secret
from llmos.features.accounts.models import User
from llmos.features.auth.models import AccessToken
from llmos.features.auth.tokens import add_token
from llmos.features.jobs.ending import end_job
from llmos.features.jobs.models import Job, JobAttempt, JobTurn, Runner
from llmos.features.jobs.places import is_all_public, is_only_data
from llmos.features.jobs.requests import NETWORK_LABEL
from llmos.features.jobs.rules import ACTIVE, ENGINE
from llmos.features.jobs.service import open_secrets
from llmos.infra.db.upsert import upsert
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.security.secrets import hash_secret
from llmos.wire.jobs import Claim, JobInput, JobOutput, JobSpec, Lease, Resources, ResumePoint
from llmos.wire.runners import RunnerHello

# How many jobs are looked at in turn for one that suits.
_LOOKS = (8, 50, 200)
_CONTAINERS = {"podman", "docker"}
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
# How long the job's token outlives the time the job may take: publishing comes last.
_TOKEN_GRACE = timedelta(hours=1)
# An engine reads its model and then runs for as long as it is wanted.
_ENGINE_TOKEN = timedelta(hours=6)


def is_anything_queued(db: Session, kinds: Sequence[str]) -> bool:
    """Whether a full look is worth its while; for runners that ask several times a second."""
    statement = (
        select(Job.id)
        .where(Job.state == "queued", Job.available_at <= clock.now(), Job.kind.in_(kinds))
        .limit(1)
    )
    return db.scalar(statement) is not None


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What decides whether a runner suits a job, without the rest of its row."""

    id: int
    spec: dict[str, Any]
    quorum: int
    kind: str


def find_candidates(db: Session, rt: Runtime, runner: Runner, hello: RunnerHello) -> list[int]:
    """Ids of jobs this runner could take now, best first; empty when there is nothing for it."""
    if runner.is_draining or runner.revoked_at is not None:
        return []
    offset = 0
    for limit in _LOOKS:
        rows = db.execute(_waiting(rt, runner, hello).offset(offset).limit(limit)).all()
        found = [row.id for row in rows if _suits(db, runner, hello, _Waiting(*row))]
        if found or len(rows) < limit:
            return found
        offset += limit
    return []


def _waiting(rt: Runtime, runner: Runner, hello: RunnerHello) -> Select[int, dict[str, Any], int, str]:
    """Highest priority, then the owner with the fewest jobs running, then who waited longest for a turn."""
    running = (
        select(Job.namespace_id, func.count().label("count"))
        .where(Job.state.in_(ACTIVE), Job.kind != ENGINE)
        .group_by(Job.namespace_id)
        .subquery()
    )
    count = func.coalesce(running.c.count, 0)
    statement = (
        select(Job.id, Job.spec, Job.quorum, Job.kind)
        .outerjoin(running, running.c.namespace_id == Job.namespace_id)
        .outerjoin(JobTurn, JobTurn.namespace_id == Job.namespace_id)
        .where(Job.state == "queued", Job.available_at <= clock.now(), *_fits(runner, hello))
        .order_by(Job.priority.desc(), count, func.coalesce(JobTurn.served_at, _EPOCH), Job.id)
    )
    if rt.settings.jobs_running and ENGINE not in hello.kinds:
        statement = statement.where(count < rt.settings.jobs_running)
    return statement


def _fits(runner: Runner, hello: RunnerHello) -> Iterator[ColumnElement[bool]]:
    free = hello.free or hello.resources
    yield Job.kind.in_(hello.kinds)
    if ENGINE in hello.kinds:
        # Beside the jobs, in memory of their own.
        yield Job.memory_bytes <= (hello.serving.free_memory_bytes if hello.serving else 0)
        yield Job.gpus <= hello.resources.gpus
        if not runner.is_trusted:
            yield Job.is_open.is_(True)
        if runner.namespace_id is not None:
            yield Job.namespace_id == runner.namespace_id
        return
    yield Job.cores <= free.cores
    yield Job.memory_bytes <= free.memory_bytes
    yield Job.gpus <= free.gpus
    yield or_(Job.gpus == 0, Job.gpu_memory_bytes <= free.gpu_memory_bytes)
    yield Job.disk_bytes <= free.disk_bytes
    if not _CONTAINERS & set(hello.executors):
        yield Job.needs_container.is_(False)
    if not runner.is_trusted:
        yield Job.is_open.is_(True)
    if runner.namespace_id is not None:
        yield Job.namespace_id == runner.namespace_id


def _suits(db: Session, runner: Runner, hello: RunnerHello, job: _Waiting) -> bool:
    """What SQL cannot tell: labels, the repository of the scope, who has voted already."""
    wanted = job.spec.get("runs_on") or {}
    if any(hello.labels.get(key) != value for key, value in wanted.items()):
        return False
    if runner.scope == "repository" and not _works_for(job, runner):
        return False
    engine = (job.spec.get("engine") or {}).get("engine")
    if engine and (hello.serving is None or engine not in hello.serving.engines):
        return False
    if job.quorum > 1:
        voted = select(JobAttempt.id).where(
            JobAttempt.job_id == job.id,
            JobAttempt.outcome == "succeeded",
            JobAttempt.runner_owner_id == runner.owner_id,
        )
        if db.scalar(voted.limit(1)) is not None:
            return False
    if runner.is_trusted:
        return True
    is_harmless = job.kind == ENGINE or is_only_data(job.kind, job.spec)
    return is_harmless and is_all_public(db, [*_inputs(job), *_outputs(job)])


def _works_for(job: _Waiting, runner: Runner) -> bool:
    """Whether a job writes to the runner's repository, or serves it."""
    if runner.repo is None:
        return False
    places = _inputs(job) if job.spec.get("engine") else _outputs(job)
    return any(f"{place.type}:{place.repo}".lower() == runner.repo.key for place in places)


def _inputs(job: Job | _Waiting) -> list[JobInput]:
    return [JobInput.model_validate(item) for item in job.spec.get("inputs", ())]


def _outputs(job: Job | _Waiting) -> list[JobOutput]:
    return [JobOutput.model_validate(item) for item in job.spec.get("outputs", ())]


def claim_job(
    db: Session, rt: Runtime, runner_id: int, hello: RunnerHello, candidates: Sequence[int], hub_url: str
) -> Claim | None:
    """Take the first candidate that is still there; None when others were faster."""
    runner = db.get(Runner, runner_id, options=[lazyload("*")])
    if runner is None or runner.revoked_at is not None or runner.is_draining:
        return None
    for job_id in candidates:
        # Only the job's own row: joined ones cannot be locked beside an outer join.
        statement = select(Job).where(Job.id == job_id).options(lazyload("*"))
        statement = statement.with_for_update(skip_locked=True)
        job = db.scalars(statement.execution_options(populate_existing=True)).first()
        if job is None or job.state != "queued" or not _may_run(db, job):
            continue
        if _suits(db, runner, hello, _Waiting(job.id, job.spec, job.quorum, job.kind)):
            return _take(db, rt, runner, job, hub_url)
    return None


def _may_run(db: Session, job: Job) -> bool:
    """Whether whoever started it may still run jobs; if not, it is canceled."""
    creator = db.get(User, job.creator_id)
    if creator is not None and creator.disabled_at is None and not creator.is_sanctioned("suspend", "ban"):
        return True
    end_job(db, job, "canceled", reason=lazy("Whoever started it may not run jobs any more."))
    return False


def _take(db: Session, rt: Runtime, runner: Runner, job: Job, hub_url: str) -> Claim:
    now = clock.now()
    lease_token = new_secret()
    job.state, job.attempt, job.phase = "preparing", job.attempt + 1, ""
    job.done, job.total, job.unit, job.sample = 0.0, 0.0, "", {}
    token, row = _issue_token(db, runner, job, now)
    attempt = JobAttempt(
        job_id=job.id,
        number=job.attempt,
        runner_id=runner.id,
        runner_name=runner.name,
        runner_owner_id=runner.owner_id,
        is_trusted=runner.is_trusted,
        lease_hash=hash_secret(lease_token),
        lease_expires_at=now + timedelta(seconds=rt.settings.job_lease_s),
        token_id=row.id if row else None,
        started_at=now,
    )
    db.add(attempt)
    runner.job_count += 1
    turn = {"namespace_id": job.namespace_id, "served_at": now}
    with db.no_autoflush:
        upsert(db, JobTurn, [turn], keys=["namespace_id"], update=["served_at"])
    lease = Lease(
        lease_token=lease_token,
        expires_at=attempt.lease_expires_at,
        lease_s=rt.settings.job_lease_s,
        heartbeat_s=rt.settings.job_lease_s / 4,
    )
    return Claim(spec=_spec(rt, runner, job, token, hub_url), lease=lease)


def _issue_token(db: Session, runner: Runner, job: Job, now: datetime) -> tuple[str, AccessToken | None]:
    """The job's own token: it reads the inputs and writes the outputs, for as long as the job may last.

    For a machine nobody vouches for, "writes" means: offers a pull request.
    """
    scopes: dict[str, set[str]] = {}
    for item in _inputs(job):
        verbs = {"repo.read"} if item.read_only else {"repo.read", "repo.write"}
        scopes.setdefault(f"{item.type}:{item.repo}".lower(), set()).update(verbs)
    for output in _outputs(job):
        is_direct = runner.is_trusted and not output.pull_request
        verbs = {"repo.read", "repo.write" if is_direct else "discussion.write"}
        scopes.setdefault(f"{output.type}:{output.repo}".lower(), set()).update(verbs)
    user = db.get(User, job.creator_id) if scopes else None
    if user is None:
        return "", None
    secret = new_access_token()
    row = add_token(
        db,
        user,
        name=f"job {job.object_id}, attempt {job.attempt}",
        secret=secret,
        role="fineGrained",
        scopes=[{"target": target, "verbs": sorted(verbs)} for target, verbs in scopes.items()],
        expires_at=now + (_ENGINE_TOKEN if job.kind == ENGINE else _lasting(job)),
    )
    return secret, row


def _lasting(job: Job) -> timedelta:
    return timedelta(seconds=job.timeout_s) + _TOKEN_GRACE


def _spec(rt: Runtime, runner: Runner, job: Job, token: str, hub_url: str) -> JobSpec:
    spec = job.spec
    wants_network = rt.settings.jobs_network and job.labels.get(NETWORK_LABEL) == "internet"
    return JobSpec(
        job_id=job.object_id,
        attempt=job.attempt,
        kind=job.kind,
        owner=job.namespace.name,
        image=spec["image"],
        command=spec["command"],
        arguments=spec["arguments"],
        environment=spec["environment"],
        secrets=open_secrets(rt, job.sealed_secrets) if runner.is_trusted else {},
        recipe=spec["recipe"],
        engine=spec.get("engine"),
        inputs=_inputs(job),
        outputs=[
            output.model_copy(update={"pull_request": output.pull_request or not runner.is_trusted})
            for output in _outputs(job)
        ],
        resources=Resources(
            cores=job.cores,
            memory_bytes=job.memory_bytes,
            gpus=job.gpus,
            gpu_memory_bytes=job.gpu_memory_bytes,
            disk_bytes=job.disk_bytes,
            flavor=spec["flavor"],
        ),
        timeout_s=job.timeout_s,
        network=wants_network and runner.is_trusted,
        hub_url=hub_url,
        token=token,
        labels=job.labels,
        resume_from=ResumePoint.model_validate(job.resume_from) if job.resume_from else None,
    )
