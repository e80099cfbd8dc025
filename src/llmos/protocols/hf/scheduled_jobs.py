"""Hub protocol: scheduled jobs."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.responses import Response

from llmos.core.errors import BadRequest, Forbidden
from llmos.features.auth.edge import ActorDep
from llmos.features.jobs import schedules
from llmos.features.jobs.policy import access_owner, access_schedule, can_see_jobs
from llmos.features.jobs.queries import list_schedules
from llmos.features.jobs.requests import parse_labels, parse_request
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.lazy_routes import Router
from llmos.protocols.hf.answers import JsonBody, answer, text_of
from llmos.protocols.hf.job_shapes import job_json, schedule_json
from llmos.protocols.hf.jobs import query_labels

router = Router(tags=["jobs"])

SCHEDULES = "/api/scheduled-jobs/{namespace:seg}"
ONE = SCHEDULES + "/{schedule_id:seg}"


@router.post(SCHEDULES)
def post_schedule(rt: RuntimeDep, actor: ActorDep, db: WriteDb, namespace: str, body: JsonBody) -> Response:
    """Start a job at each time of `schedule`: five fields of cron in UTC, or @hourly and the like."""
    actor.require_user()
    spec = body.get("jobSpec")
    if not isinstance(spec, dict):
        raise BadRequest(lazy("jobSpec is missing: it must be an object."))
    asked, cron = parse_request(spec), text_of(body, "schedule")
    with rt.database.reading() as look:
        owner = access_owner(look, actor, namespace)
    made = schedules.create_schedule(
        db,
        rt,
        actor,
        owner,
        asked,
        cron,
        is_suspended=_flag(body, "suspend"),
        may_overlap=_flag(body, "concurrency"),
    )
    return answer(schedule_json(made))


def _flag(body: dict[str, Any], field: str) -> bool:
    value = body.get(field)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(lazy("%(field)s must be true or false.", field=field))
    return bool(value)


@router.get(SCHEDULES)
def get_schedules(db: ReadDb, actor: ActorDep, request: Request, namespace: str) -> Response:
    """All schedules of a person or organisation, for its members."""
    owner = access_owner(db, actor, namespace)
    if not can_see_jobs(actor, owner):
        actor.require_user()
        raise Forbidden(lazy("Only members of %(name)s see its schedules.", name=owner.name))
    found = list_schedules(db, owner, query_labels(request))
    return answer([schedule_json(one) for one in found])


@router.get(ONE)
def get_schedule(db: ReadDb, actor: ActorDep, namespace: str, schedule_id: str) -> Response:
    return answer(schedule_json(access_schedule(db, actor, namespace, schedule_id)))


@router.delete(ONE)
def delete_schedule(db: WriteDb, actor: ActorDep, namespace: str, schedule_id: str) -> Response:
    schedules.delete_schedule(db, actor, access_schedule(db, actor, namespace, schedule_id))
    return answer({})


@router.post(ONE + "/suspend")
def post_suspend(db: WriteDb, actor: ActorDep, namespace: str, schedule_id: str) -> Response:
    schedule = access_schedule(db, actor, namespace, schedule_id)
    schedules.change_schedule(db, actor, schedule, is_suspended=True)
    return answer(schedule_json(schedule))


@router.post(ONE + "/resume")
def post_resume(db: WriteDb, actor: ActorDep, namespace: str, schedule_id: str) -> Response:
    schedule = access_schedule(db, actor, namespace, schedule_id)
    schedules.change_schedule(db, actor, schedule, is_suspended=False)
    return answer(schedule_json(schedule))


@router.post(ONE + "/run")
def post_run(rt: RuntimeDep, db: WriteDb, actor: ActorDep, namespace: str, schedule_id: str) -> Response:
    """One job of it now."""
    schedule = access_schedule(db, actor, namespace, schedule_id)
    return answer(job_json(schedules.run_now(db, rt, actor, schedule)))


@router.post(ONE + "/schedule")
def post_times(actor: ActorDep, db: WriteDb, namespace: str, schedule_id: str, body: JsonBody) -> Response:
    """Change when it runs."""
    schedule = access_schedule(db, actor, namespace, schedule_id)
    schedules.change_schedule(db, actor, schedule, cron=text_of(body, "schedule"))
    return answer(schedule_json(schedule))


@router.put(ONE + "/labels")
def put_labels(actor: ActorDep, db: WriteDb, namespace: str, schedule_id: str, body: JsonBody) -> Response:
    schedule = access_schedule(db, actor, namespace, schedule_id)
    schedules.change_schedule(db, actor, schedule, labels=parse_labels(body.get("labels")))
    return answer(schedule_json(schedule))
