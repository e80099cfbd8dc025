"""Runners in a browser: which there are, what they do, register and change one."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core.errors import BadRequest, LlmosError
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
)
from llmos.features.jobs import runners
from llmos.features.jobs.models import Job, Runner
from llmos.features.jobs.pages.views import duration, job_row
from llmos.features.jobs.policy import access_runner, can_manage_runner, can_see
from llmos.features.jobs.queries import get_credit, is_online, list_runners, running_on
from llmos.infra.i18n import lazy, localize
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.urls import base_url
from llmos.ui.views import Option

SCOPE_LABELS = {
    "instance": lazy("Everybody"),
    "organization": lazy("An organisation"),
    "person": lazy("Only me"),
    "repository": lazy("One repository"),
}


def runners_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """Machines that take jobs, and those of the viewer."""
    return _render(request, db, actor)


def _render(
    request: Request,
    db: Session,
    actor: Actor,
    *,
    values: dict[str, str] | None = None,
    error: str = "",
    command: str = "",
) -> Response:
    locale = request_locale(request, actor)
    found = list_runners(db, actor)
    running = running_on(db, found)
    credit = get_credit(db, actor.user_id) if actor.user_id else None
    context = {
        "rows": [_row(actor, one, running.get(one.id, [])) for one in found],
        "values": values or {"scope": "person"},
        "scopes_said": [Option(name, localize(label, locale)) for name, label in SCOPE_LABELS.items()],
        "error": error,
        "command": command,
        "may_register": actor.user_id is not None and not actor.is_suspended,
        "is_admin": actor.is_admin,
        "credit": duration(credit.seconds) if credit else "",
        "credit_jobs": credit.job_count if credit else 0,
    }
    return render_page(request, actor, "jobs/runners.html", context, status=400 if error else 200)


def _row(actor: Actor, runner: Runner, jobs: list[Job]) -> dict[str, Any]:
    about = runner.about
    has = about.get("resources") or {}
    target = runner.namespace.name if runner.namespace else (runner.repo.repo_name if runner.repo else "")
    return {
        "id": runner.object_id,
        "name": runner.name,
        "owner": runner.owner.name,
        "scope": SCOPE_LABELS[runner.scope],
        "target": target if runner.scope in ("organization", "repository") else "",
        "is_online": is_online(runner),
        "is_trusted": runner.is_trusted,
        "is_draining": runner.is_draining,
        "last_seen_at": runner.last_seen_at,
        "cores": has.get("cores") or 0,
        "memory_bytes": has.get("memory_bytes") or 0,
        "gpus": has.get("gpus") or 0,
        "load": about.get("load") or 0,
        "executors": ", ".join(about.get("executors") or ()),
        "version": about.get("version") or "",
        "labels": sorted((about.get("labels") or {}).items()),
        "jobs": [job_row(job) for job in jobs if can_see(actor, job)],
        "job_count": runner.job_count,
        "credit": duration(runner.credit_s) if runner.credit_s else "",
        "may_change": can_manage_runner(actor, runner),
    }


def post_runner(request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    """Register a machine; the command with its token is shown once."""
    if actor.user_id is None:
        return redirect_to_login(request)
    values = {name: form.text(name) for name in ("name", "scope", "target")}
    try:
        _, token = runners.register_runner(
            db, actor, name=values["name"], scope=values["scope"], target=values["target"]
        )
    except LlmosError as refusal:
        db.rollback()
        with rt.database.reading() as look:
            return _render(request, look, actor, values=values, error=refusal.message)
    return _render(request, db, actor, command=_command(request, rt, token))


def _command(request: Request, rt: Any, token: str) -> str:
    return f"llmos runner start --url {base_url(request, rt.settings)} --token {token}"


def post_change(
    request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, form: PageForm, runner_id: str
) -> Response:
    """`action`: drain, resume, trust, distrust, token or remove."""
    if actor.user_id is None:
        return redirect_to_login(request)
    runner = access_runner(db, actor, runner_id)
    action = form.text("action")
    if action == "token":
        token = runners.renew_token(db, actor, runner)
        return _render(request, db, actor, command=_command(request, rt, token))
    if action in ("drain", "resume"):
        runners.set_draining(db, actor, runner, is_draining=action == "drain")
    elif action in ("trust", "distrust"):
        runners.set_trusted(db, actor, runner, is_trusted=action == "trust")
    elif action == "remove":
        runners.remove_runner(db, actor, runner)
    else:
        raise BadRequest(lazy("There is no such action."))
    return redirect_page(request, "/runners")
