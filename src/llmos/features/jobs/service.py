"""Start, stop, repeat and label jobs."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, TooManyRequests
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.jobs.ending import end_job, settle_waiting
from llmos.features.jobs.flavors import find_flavor, needs_container
from llmos.features.jobs.leases import lock_job
from llmos.features.jobs.models import Job, JobNeed
from llmos.features.jobs.places import (
    create_outputs,
    is_all_public,
    is_only_data,
    missing_outputs,
    resolve_inputs,
)
from llmos.features.jobs.policy import can_see, check_run_jobs
from llmos.features.jobs.requests import JobRequest
from llmos.features.jobs.rules import ENGINE, PENDING, after_cancel
from llmos.features.repos.lifecycle import looking
from llmos.infra.i18n import lazy
from llmos.infra.queue.outbox import emit
from llmos.infra.runtime import Runtime
from llmos.infra.security.sealing import seal, unseal
from llmos.wire.jobs import JobInput, JobOutput

SEAL = "job-secrets"


def submit(
    db: Session,
    rt: Runtime,
    actor: Actor,
    namespace: Namespace,
    request: JobRequest,
    *,
    schedule_id: int | None = None,
    copied_from: str | None = None,
) -> Job:
    """Put a job into the queue; inputs are fixed to the commits they have now.

    Repositories it will write to are created where they are missing. Raises Forbidden without the
    right to run jobs here, to read an input or to write an output; TooManyRequests while too many
    of the owner's jobs wait; BadRequest for a dependency nobody can see.
    """
    actor.check_not_suspended()
    with looking(rt, db) as look:
        check_run_jobs(actor, namespace)
        _check_room(look, rt, namespace)
        inputs = resolve_inputs(look, rt, actor, request.volumes)
        missing = missing_outputs(look, actor, request.outputs)
    create_outputs(db, rt, actor, missing, "public" if request.has_public_outputs else "private")
    # Creating outputs may have brought the same row into this session already.
    namespace = db.merge(namespace, load=False)
    job = _new_job(rt, actor, namespace, request, inputs)
    job.schedule_id, job.copied_from = schedule_id, copied_from
    outputs = [JobOutput(**output.model_dump()) for output in request.outputs]
    job.is_open = is_only_data(job.kind, job.spec) and is_all_public(db, [*inputs, *outputs])
    needs = _access_needs(db, actor, request.depends_on)
    job.state = "waiting" if needs else "queued"
    db.add(job)
    db.flush()
    db.add_all(JobNeed(job_id=job.id, needs_id=need.id) for need in needs)
    db.flush()
    settle_waiting(db, [job])
    audit.record(db, actor, "job.start", f"{namespace.name}/{job.object_id}", title=job.title)
    emit(db, "JobStarted", {"job_id": job.id, "actor_id": actor.user_id})
    return job


def _new_job(
    rt: Runtime, actor: Actor, namespace: Namespace, request: JobRequest, inputs: list[JobInput]
) -> Job:
    flavor = find_flavor(request.flavor)
    return Job(
        namespace_id=namespace.id,
        namespace=namespace,
        creator_id=actor.require_user(),
        kind=request.kind,
        title=request.title,
        spec=request.stored() | {"inputs": [item.model_dump(mode="json") for item in inputs]},
        sealed_secrets=seal_secrets(rt, request.secrets),
        labels=request.labels,
        visibility="public" if request.is_public else "private",
        priority=request.priority,
        cores=flavor.cores,
        memory_bytes=flavor.memory_bytes,
        gpus=flavor.gpus,
        gpu_memory_bytes=flavor.gpu_memory_bytes,
        disk_bytes=request.disk_bytes,
        needs_container=needs_container(request.image),
        quorum=request.quorum,
        timeout_s=request.timeout_s,
        max_attempts=request.max_attempts,
    )


def seal_secrets(rt: Runtime, secrets: dict[str, str]) -> str | None:
    return seal(rt.signer, SEAL, json.dumps(secrets).encode()) if secrets else None


def open_secrets(rt: Runtime, sealed: str | None) -> dict[str, str]:
    """Only for a claim, and for another job of the same people."""
    found: dict[str, str] = json.loads(unseal(rt.signer, SEAL, sealed)) if sealed else {}
    return found


def _check_room(db: Session, rt: Runtime, namespace: Namespace) -> None:
    waiting = db.scalar(
        select(func.count()).where(
            Job.namespace_id == namespace.id, Job.state.in_(PENDING), Job.kind != ENGINE
        )
    )
    if (waiting or 0) >= rt.settings.jobs_waiting:
        raise TooManyRequests(
            lazy(
                "%(name)s has %(count)s jobs waiting already: cancel some, or wait.",
                name=namespace.name,
                count=waiting,
            )
        )


def _access_needs(db: Session, actor: Actor, object_ids: list[str]) -> list[Job]:
    if not object_ids:
        return []
    found = list(db.scalars(select(Job).where(Job.object_id.in_(object_ids))))
    seen = {job.object_id for job in found if can_see(actor, job)}
    missing = [object_id for object_id in object_ids if object_id not in seen]
    if missing:
        raise BadRequest(
            lazy("dependsOn: there is no job %(job)s that you can see.", job=missing[0]),
            data={"field": "dependsOn"},
        )
    return found


def cancel(db: Session, actor: Actor, job: Job) -> None:
    """Cancel a waiting job at once; ask the runner of a running one to stop it.

    Raises Forbidden, and StateRefused (409) when it is over.
    """
    check_run_jobs(actor, job.namespace)
    job = lock_job(db, job.id)
    state = after_cancel(job.state)
    if job.cancel_requested_at is None:
        job.cancel_requested_at = clock.now()
        audit.record(db, actor, "job.cancel", f"{job.namespace.name}/{job.object_id}")
    if state is not None:
        end_job(db, job, state, reason="")


def repeat(db: Session, rt: Runtime, actor: Actor, job: Job) -> Job:
    """The same job again, with its inputs as they are now. Secrets go along: whoever may run jobs
    here could have read them from inside the first one. Raises what `submit` raises."""
    check_run_jobs(actor, job.namespace)
    if job.kind == ENGINE:
        raise BadRequest(lazy("This job served a model: call the model, and it is started again."))
    request = stored_request(job.spec, open_secrets(rt, job.sealed_secrets))
    namespace, source = job.namespace, job.object_id
    return submit(db, rt, actor, namespace, request, copied_from=source)


def stored_request(spec: dict[str, Any], secrets: dict[str, str]) -> JobRequest:
    """The request a specification was made from; dependencies are not asked for again."""
    return JobRequest.model_validate(spec | {"secrets": secrets, "depends_on": []})


def set_labels(db: Session, actor: Actor, job: Job, labels: dict[str, str]) -> None:
    """Replace the labels. Raises Forbidden."""
    check_run_jobs(actor, job.namespace)
    job.labels = labels
    job.title = labels.get("name", job.title)[:200]


def set_visibility(db: Session, actor: Actor, job: Job, visibility: str) -> None:
    """Show the job, with its log and curves, to everybody, or to the owner's members alone."""
    check_run_jobs(actor, job.namespace)
    job.visibility = "public" if visibility == "public" else "private"
    audit.record(
        db, actor, "job.visibility", f"{job.namespace.name}/{job.object_id}", visibility=job.visibility
    )
