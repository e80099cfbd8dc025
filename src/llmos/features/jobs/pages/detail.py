"""The page of one job: how far it is, its curves, its log, what went in and what came out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response, StreamingResponse

from llmos.core.errors import BadRequest
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import PageForm, redirect_page, redirect_to_login, render_page
from llmos.features.jobs import service
from llmos.features.jobs.flavors import GIB
from llmos.features.jobs.models import Job, JobAttempt
from llmos.features.jobs.pages.views import (
    STATE_ICONS,
    STATE_KINDS,
    STATE_LABELS,
    charts_of,
    duration,
    fork_href,
    job_href,
    job_row,
    run_seconds,
    share_done,
    system_charts,
)
from llmos.features.jobs.policy import access_job, can_run_jobs, can_see_jobs
from llmos.features.jobs.queries import list_attempts, list_needs, why_waiting
from llmos.features.jobs.rules import ACTIVE, ENGINE
from llmos.features.jobs.streams import all_text, mark_before_last, read_curves, read_log
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.ui.filters import with_query

LOG_LINES = 500


def job_page(request: Request, db: ReadDb, actor: ActorDep, ns: str, job_id: str) -> Response:
    """The log's last lines and the curves as they are; with script both go on live."""
    job = access_job(db, actor, ns, job_id)
    lines, _ = read_log(db, job.id, mark_before_last(db, job.id, LOG_LINES))
    spec = job.spec
    context = _live(db, job) | {
        "owner": job.namespace.name,
        "owner_href": f"/jobs/{quote(job.namespace.name)}",
        "inputs": [_place(item) for item in spec["inputs"]],
        "outputs": [_output(item) for item in spec["outputs"]],
        "results": [_result(item) for item in job.results],
        "command": " ".join(_quoted([*spec["command"], *spec["arguments"]])),
        "recipe": _recipe_text(spec["recipe"]),
        "environment": sorted(spec["environment"].items()) if can_see_jobs(actor, job.namespace) else [],
        "secret_names": spec["secret_names"] if can_see_jobs(actor, job.namespace) else [],
        "facts": _facts(job),
        "needs": [job_row(need) for need in list_needs(db, job)],
        "lines": lines,
        "last_mark": lines[-1].mark if lines else "0.0",
        "log_href": f"/api/jobs/{quote(job.namespace.name)}/{job.object_id}/logs",
        "may_change": can_run_jobs(actor, job.namespace),
        "fork_href": fork_href(actor, job),
        "compare_href": _compare_href(job),
        "may_cancel": not job.is_over and job.cancel_requested_at is None,
    }
    return render_page(request, actor, "jobs/detail.html", context)


def _compare_href(job: Job) -> str | None:
    """The owner's training runs, to choose others beside this one."""
    if job.kind != "recipe":
        return None
    return with_query(f"/jobs/{quote(job.namespace.name)}/-/experiments", {"run": job.object_id})


def live_part(request: Request, db: ReadDb, actor: ActorDep, ns: str, job_id: str) -> Response:
    """What changes while a job runs, for the script of the page."""
    job = access_job(db, actor, ns, job_id)
    return render_page(request, actor, "jobs/_live.html", _live(db, job))


def _live(db: Session, job: Job) -> dict[str, Any]:
    curves = read_curves(db, [job.id])[job.id]
    return {
        "job": job,
        "href": job_href(job.namespace.name, job.object_id),
        "row": job_row(job),
        "is_over": job.is_over,
        "is_active": job.state in ACTIVE,
        "why": job.reason or why_waiting(db, job),
        "is_stopping": job.cancel_requested_at is not None and not job.is_over,
        "share": share_done(job),
        "seconds": duration(run_seconds(job)),
        "attempts": [_attempt(one) for one in list_attempts(db, job)],
        "charts": charts_of([one for one in curves if not one.name.startswith("system/")]),
        "system_charts": system_charts(curves),
    }


def _attempt(attempt: JobAttempt) -> dict[str, Any]:
    state = attempt.outcome or ("running" if attempt.running_at else "preparing")
    ended = attempt.ended_at
    return {
        "number": attempt.number,
        "runner": attempt.runner_name,
        "is_trusted": attempt.is_trusted,
        "label": STATE_LABELS[state],
        "kind": STATE_KINDS[state],
        "icon": STATE_ICONS[state],
        "seconds": duration((ended - attempt.started_at).total_seconds()) if ended else "",
        "reason": attempt.reason,
    }


def _facts(job: Job) -> list[tuple[Any, str]]:
    spec = job.spec
    facts: list[tuple[Any, str]] = [(lazy("Image"), spec["image"])] if spec["image"] else []
    facts += [
        (lazy("Hardware"), spec["flavor"]),
        (lazy("Cores"), f"{job.cores:g}"),
        (lazy("Memory"), f"{job.memory_bytes / GIB:g} GiB"),
    ]
    if job.disk_bytes:
        facts.append((lazy("Disk"), f"{job.disk_bytes / GIB:g} GiB"))
    if job.gpus:
        facts.append((lazy("GPUs"), str(job.gpus)))
    if job.kind != ENGINE:
        facts.append((lazy("Time limit"), duration(job.timeout_s)))
    if job.max_attempts > 1:
        facts.append((lazy("Attempts at most"), str(job.max_attempts)))
    if job.priority:
        facts.append((lazy("Priority"), str(job.priority)))
    if job.quorum > 1:
        facts.append((lazy("Machines that must agree"), str(job.quorum)))
    return facts


def place_href(kind: str, repo: str) -> str:
    if kind == "bucket":
        return f"/buckets/{quote(repo)}"
    return f"/{RepoType(kind).url_prefix}{quote(repo)}"


def _place(item: dict[str, Any]) -> dict[str, Any]:
    href = place_href(item["type"], item["repo"])
    if item["revision"]:
        href += f"/tree/{item['revision']}"
    return {
        "type": item["type"],
        "name": item["repo"],
        "href": href,
        "revision": (item["revision"] or "")[:8],
        "path": item["path"],
        "is_writable": not item["read_only"],
    }


def _output(item: dict[str, Any]) -> dict[str, Any]:
    href = place_href(item["type"], item["repo"])
    return {"type": item["type"], "name": item["repo"], "href": href, "branch": item["branch"]}


def _result(item: dict[str, Any]) -> dict[str, Any]:
    href = place_href(item["type"], item["repo"])
    revision = item["revision"]
    if item["type"] != "bucket":
        href += f"/tree/{quote(revision)}"
    return {"name": item["repo"], "href": href, "revision": revision[:8]}


def _quoted(words: list[str]) -> Iterator[str]:
    import shlex

    for word in words:
        yield shlex.quote(word)


def _recipe_text(recipe: dict[str, Any] | None) -> str:
    if recipe is None:
        return ""
    import yaml

    text: str = yaml.safe_dump(recipe, allow_unicode=True, sort_keys=False)
    return text


def log_text(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, ns: str, job_id: str) -> Response:
    """The whole log as a text file."""
    job = access_job(db, actor, ns, job_id)
    headers = {
        "Content-Disposition": f'inline; filename="job-{job.object_id}.log"',
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    return StreamingResponse(_pieces(rt, job.id), media_type="text/plain; charset=utf-8", headers=headers)


def _pieces(rt: Runtime, row_id: int) -> Iterator[str]:
    with rt.database.reading() as db:
        yield from all_text(db, row_id)


def post_job(
    request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, form: PageForm, ns: str, job_id: str
) -> Response:
    """`action`: cancel, repeat, show or hide."""
    if actor.user_id is None:
        return redirect_to_login(request)
    job = access_job(db, actor, ns, job_id)
    here = job_href(job.namespace.name, job.object_id)
    return _act(request, rt, db, actor, job, here, form.text("action"))


def _act(
    request: Request, rt: Runtime, db: Session, actor: Actor, job: Job, here: str, action: str
) -> Response:
    if action == "cancel":
        service.cancel(db, actor, job)
        return redirect_page(request, here, lazy("The job is being stopped."), "info")
    if action == "repeat":
        owner = job.namespace.name
        again = service.repeat(db, rt, actor, job)
        return redirect_page(request, job_href(owner, again.object_id))
    if action not in ("show", "hide"):
        raise BadRequest(lazy("There is no such action."))
    service.set_visibility(db, actor, job, "public" if action == "show" else "private")
    return redirect_page(request, here)
