"""Hub protocol: jobs. Logs and measurements are in `job_streams`."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from llmos.core.errors import BadRequest, NotBuilt
from llmos.features.auth.edge import ActorDep
from llmos.features.jobs import service
from llmos.features.jobs.flavors import FLAVORS
from llmos.features.jobs.policy import access_job, access_owner, can_see_jobs
from llmos.features.jobs.queries import STAGES, has_gpus, list_gpus, list_jobs, why_waiting
from llmos.features.jobs.requests import parse_labels, parse_request
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.lazy_routes import Router
from llmos.protocols.hf.answers import JsonBody, answer, page_answer, query_int, query_list
from llmos.protocols.hf.job_shapes import hardware_json, job_json

router = Router(tags=["jobs"])

JOBS = "/api/jobs/{namespace:seg}"
JOB = JOBS + "/{job_id:seg}"


@router.get("/api/jobs/hardware")
def get_hardware(db: ReadDb, actor: ActorDep) -> Response:
    """What a job may ask for; GPUs only where some machine has them."""
    machines = list_gpus(db)
    found = [
        hardware_json(flavor)
        for flavor in FLAVORS.values()
        if not flavor.gpus or has_gpus(machines, flavor.gpus, flavor.gpu_memory_bytes)
    ]
    return answer(found)


@router.get(JOBS)
def get_jobs(rt: RuntimeDep, db: ReadDb, actor: ActorDep, request: Request, namespace: str) -> Response:
    """Jobs of a person or organisation, newest first: all for members, public ones for others."""
    stages = query_list(request, "stage", "status")
    unknown = [stage for stage in stages if stage.upper() not in STAGES]
    if unknown:
        raise BadRequest(
            lazy(
                "stage must be one of %(stages)s, not %(stage)s.",
                stages=", ".join(STAGES),
                stage=repr(unknown[0][:40]),
            )
        )
    states = [state for stage in stages for state in STAGES[stage.upper()]]
    owner = access_owner(db, actor, namespace)
    is_member = can_see_jobs(actor, owner)
    page = list_jobs(
        db,
        actor,
        owner,
        states=states if stages else None,
        labels=query_labels(request),
        cursor=request.query_params.get("cursor"),
        limit=query_int(request, "limit"),
    )
    return page_answer(request, rt.settings, page.map(lambda job: job_json(job, is_member=is_member)))


def query_labels(request: Request) -> dict[str, str]:
    """`label=key=value`, repeated. BadRequest."""
    found: dict[str, str] = {}
    for item in query_list(request, "label"):
        key, _, value = item.partition("=")
        found[key] = value
    return parse_labels(found, field="label")


@router.post(JOBS)
def post_job(rt: RuntimeDep, actor: ActorDep, db: WriteDb, namespace: str, body: JsonBody) -> Response:
    """Start a job: a command on an image, or (ours) a training recipe."""
    actor.require_user()
    asked = parse_request(body)
    with rt.database.reading() as look:
        owner = access_owner(look, actor, namespace)
    return answer(job_json(service.submit(db, rt, actor, owner, asked)))


@router.get(JOB)
def get_job(db: ReadDb, actor: ActorDep, namespace: str, job_id: str) -> Response:
    job = access_job(db, actor, namespace, job_id)
    is_member = can_see_jobs(actor, job.namespace)
    return answer(job_json(job, why_waiting(db, job), is_member=is_member))


@router.post(JOB + "/cancel")
def post_cancel(db: WriteDb, actor: ActorDep, namespace: str, job_id: str) -> Response:
    """Cancel it at once, or as soon as its runner has heard of it."""
    job = access_job(db, actor, namespace, job_id)
    service.cancel(db, actor, job)
    return answer(job_json(job))


@router.post(JOB + "/duplicate")
def post_duplicate(rt: RuntimeDep, db: WriteDb, actor: ActorDep, namespace: str, job_id: str) -> Response:
    """The same job again, with its inputs as they are now."""
    return answer(job_json(service.repeat(db, rt, actor, access_job(db, actor, namespace, job_id))))


@router.put(JOB + "/labels")
def put_labels(actor: ActorDep, db: WriteDb, namespace: str, job_id: str, body: JsonBody) -> Response:
    """Replace its labels."""
    job = access_job(db, actor, namespace, job_id)
    service.set_labels(db, actor, job, parse_labels(body.get("labels")))
    return answer(job_json(job))


@router.put(JOB + "/expose")
def put_expose(actor: ActorDep, db: ReadDb, namespace: str, job_id: str) -> Response:
    """Ports of jobs have no public address here."""
    access_job(db, actor, namespace, job_id)
    raise NotBuilt(lazy("%(field)s: jobs run behind no public address here; leave it out.", field="expose"))
