"""The page of one endpoint: what it does, what was used of it, and its settings."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

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
from llmos.features.endpoints import service
from llmos.features.endpoints.models import Endpoint
from llmos.features.endpoints.pages.views import (
    ACCESS_LABELS,
    badge,
    endpoint_href,
    replica_row,
    shown_state,
    usage_charts,
)
from llmos.features.endpoints.policy import access_endpoint, can_manage
from llmos.features.endpoints.queries import list_past, list_usage, live_replicas
from llmos.features.jobs.waking import wake_runners
from llmos.infra.i18n import lazy, localize
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.forms import Form
from llmos.infra.web.urls import base_url
from llmos.ui.views import Option

NUMBERS = ("min_replicas", "max_replicas", "idle_s", "rate_per_minute", "tokens_per_day")


def endpoint_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, endpoint: str) -> Response:
    """State, replicas, how to call it; for those who may change it also its use and settings."""
    found = access_endpoint(db, actor, endpoint)
    return render_page(request, actor, "endpoints/detail.html", _context(request, rt, db, actor, found))


def _context(request: Request, rt: Any, db: Session, actor: Actor, endpoint: Endpoint) -> dict[str, Any]:
    locale = request_locale(request, actor)
    replicas = live_replicas(db, [endpoint.id]).get(endpoint.id, [])
    may_change = can_manage(actor, endpoint)
    model = endpoint.repo.repo_name if endpoint.repo is not None else ""
    state = shown_state(endpoint, replicas)
    return {
        "endpoint": endpoint,
        "href": endpoint_href(endpoint),
        "model": model,
        "model_href": f"/{quote(model)}" if model else "",
        "call_name": endpoint.name or model,
        "state": state,
        "badge": badge(state),
        "replicas": [replica_row(one) for one in replicas],
        "past": [replica_row(one) for one in list_past(db, endpoint)] if may_change else [],
        "charts": usage_charts(list_usage(db, endpoint), locale) if may_change else [],
        "may_change": may_change,
        "idle_minutes": int((endpoint.idle_s or rt.settings.serve_idle_s) // 60),
        "base_url": base_url(request, rt.settings),
        "access_label": ACCESS_LABELS[endpoint.access],
        "access_options": [Option(name, localize(label, locale)) for name, label in ACCESS_LABELS.items()],
        "task_path": "chat/completions" if endpoint.task == "text-generation" else "embeddings",
    }


def post_endpoint(
    *, request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, endpoint: str, form: PageForm
) -> Response:
    """Change, pause, resume or delete it; refusals are said on its page."""
    if actor.user_id is None:
        return redirect_to_login(request)
    found = access_endpoint(db, actor, endpoint)
    try:
        message = _change(rt, db, actor, found, form)
    except LlmosError as error:
        if error.status not in (400, 422, 503):
            raise
        db.rollback()
        return redirect_page(request, f"/endpoints/{quote(endpoint)}", error.message, "danger")
    wake_runners("engine")
    if form.text("action") == "delete":
        return redirect_page(request, "/endpoints", message)
    return redirect_page(request, endpoint_href(found), message)


def _change(rt: Any, db: Session, actor: Actor, endpoint: Endpoint, form: Form) -> Any:
    action = form.text("action")
    if action == "pause":
        service.pause_endpoint(db, actor, endpoint)
        return lazy("The endpoint is paused.")
    if action == "resume":
        service.resume_endpoint(db, rt, actor, endpoint)
        return lazy("The endpoint answers again.")
    if action == "delete":
        service.delete_endpoint(db, actor, endpoint)
        return lazy("The endpoint is deleted.")
    if action != "save":
        raise BadRequest(lazy("This form is not complete: open the page again."))
    body: dict[str, Any] = {name: form.text(name) for name in NUMBERS if form.text(name)}
    body |= {"access": form.text("access") or "public", "allowed": form.text("allowed")}
    if endpoint.repo_id is not None and form.text("revision"):
        body |= {"revision": form.text("revision"), "pin": form.has("pin")}
    service.change_endpoint(db, rt, actor, endpoint, body)
    return lazy("The settings are saved.")
