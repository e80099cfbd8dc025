"""Lists: the queue, the jobs of an owner, its schedules."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core.errors import BadRequest, NotFound
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import PageForm, redirect_page, redirect_to_login, render_page
from llmos.features.jobs import schedules
from llmos.features.jobs.models import Schedule
from llmos.features.jobs.pages.views import job_href, job_row
from llmos.features.jobs.policy import access_owner, access_schedule, can_run_jobs, can_see_jobs
from llmos.features.jobs.queries import list_jobs, list_schedules
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.ui.filters import with_query
from llmos.ui.views import Tab

# Filter -> states; the first is the default.
FILTERS: dict[str, tuple[Any, tuple[str, ...] | None]] = {
    "": (lazy("All"), None),
    "active": (lazy("Active"), ("waiting", "queued", "preparing", "running")),
    "succeeded": (lazy("Succeeded"), ("succeeded",)),
    "failed": (lazy("Failed"), ("failed", "timed_out")),
}


def queue_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """Jobs of everybody that the viewer may see."""
    return _list(request, db, actor, None)


def owner_page(request: Request, db: ReadDb, actor: ActorDep, ns: str) -> Response:
    """Jobs of a person or organisation."""
    if ns == "me" and actor.user_id is None:
        return redirect_to_login(request)
    return _list(request, db, actor, access_owner(db, actor, ns))


def _list(request: Request, db: Session, actor: Actor, owner: Namespace | None) -> Response:
    wanted = request.query_params.get("state", "")
    if wanted not in FILTERS:
        wanted = ""
    here = f"/jobs/{quote(owner.name)}" if owner else "/jobs"
    page = list_jobs(
        db, actor, owner, states=FILTERS[wanted][1], cursor=request.query_params.get("after"), limit=50
    )
    tabs = [
        Tab(label, with_query(here, {"state": name}) if name else here, is_current=name == wanted)
        for name, (label, _) in FILTERS.items()
    ]
    query = {"state": wanted, "after": page.next_cursor or ""}
    context = {
        "owner": owner.name if owner else None,
        "rows": [job_row(job) for job in page.items],
        "tabs": tabs,
        "new_href": _new_href(actor, owner),
        "experiments_href": f"{here}/-/experiments" if owner else "/jobs/-/experiments",
        "schedules_href": f"{here}/-/schedules" if owner and can_see_jobs(actor, owner) else None,
        "own_href": f"/jobs/{quote(actor.name)}" if actor.user_id and owner is None else None,
        "next_href": with_query(here, query) if page.next_cursor else None,
    }
    return render_page(request, actor, "jobs/list.html", context)


def _new_href(actor: Actor, owner: Namespace | None) -> str | None:
    if actor.user_id is None or (owner is not None and not can_run_jobs(actor, owner)):
        return None
    return f"/jobs/{quote(owner.name if owner else actor.name)}/-/new"


def schedules_page(request: Request, db: ReadDb, actor: ActorDep, ns: str) -> Response:
    """What an owner runs at times, for its members."""
    if actor.user_id is None:
        return redirect_to_login(request)
    owner = access_owner(db, actor, ns)
    if not can_see_jobs(actor, owner):
        raise NotFound(lazy("There is no such page."))
    context = {
        "owner": owner.name,
        "base": f"/jobs/{quote(owner.name)}",
        "rows": [_schedule_row(one) for one in list_schedules(db, owner)],
        "may_change": can_run_jobs(actor, owner),
    }
    return render_page(request, actor, "jobs/schedules.html", context)


def _schedule_row(schedule: Schedule) -> dict[str, Any]:
    spec, owner = schedule.spec, schedule.namespace.name
    title = (spec.get("labels") or {}).get("name") or " ".join([*spec["command"], *spec["arguments"]])
    return {
        "id": schedule.object_id,
        "title": title[:200] or schedule.object_id,
        "cron": schedule.cron,
        "is_suspended": schedule.is_suspended,
        "next_at": schedule.next_at,
        "last_at": schedule.last_at,
        "last_href": job_href(owner, schedule.last_job_id) if schedule.last_job_id else None,
        "error": schedule.last_error,
    }


def post_schedule(
    request: Request,
    rt: RuntimeDep,
    db: WriteDb,
    actor: ActorDep,
    form: PageForm,
    ns: str,
    schedule_id: str,
) -> Response:
    """`action`: run, suspend, resume or delete."""
    if actor.user_id is None:
        return redirect_to_login(request)
    schedule = access_schedule(db, actor, ns, schedule_id)
    here = f"/jobs/{quote(ns)}/-/schedules"
    action = form.text("action")
    if action == "run":
        job = schedules.run_now(db, rt, actor, schedule)
        return redirect_page(request, job_href(schedule.namespace.name, job.object_id))
    if action == "delete":
        schedules.delete_schedule(db, actor, schedule)
        return redirect_page(request, here, lazy("The schedule is deleted."))
    if action not in ("suspend", "resume"):
        raise BadRequest(lazy("There is no such action."))
    schedules.change_schedule(db, actor, schedule, is_suspended=action == "suspend")
    return redirect_page(request, here)
