"""The form that serves a model."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core.errors import BadRequest, LlmosError
from llmos.core.names import split_repo_name
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
)
from llmos.features.endpoints.pages.views import ACCESS_LABELS, endpoint_href
from llmos.features.endpoints.servable import describe_servable
from llmos.features.endpoints.service import create_endpoint
from llmos.features.jobs.waking import wake_runners
from llmos.features.repos.models import Repo
from llmos.features.repos.policy import access_repo, check_content
from llmos.infra.i18n import lazy, localize
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.ui.views import Option

FIELDS = ("model", "name", "owner", "revision", "min_replicas", "max_replicas", "gpus", "access", "allowed")


def new_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    """The form, filled in for the model that `model` names."""
    if actor.user_id is None:
        return redirect_to_login(request)
    values = {name: request.query_params.get(name, "") for name in FIELDS}
    values["revision"] = values["revision"] or "main"
    return _render(request, rt, db, actor, values)


def _render(
    request: Request,
    rt: Runtime,
    db: Session,
    actor: Actor,
    values: dict[str, str],
    error: LlmosError | None = None,
) -> Response:
    locale = request_locale(request, actor)
    context: dict[str, Any] = {
        "values": values,
        "error": error.message if error else "",
        "error_field": str((error.data or {}).get("field", "")) if error else "",
        "access_options": [Option(name, localize(label, locale)) for name, label in ACCESS_LABELS.items()],
        "servable": None,
    }
    if values["model"] and error is None:
        repo = _access_model(db, actor, values["model"])
        context["servable"] = describe_servable(db, rt, repo, actor=actor)
    return render_page(request, actor, "endpoints/new.html", context, status=error.status if error else 200)


def _access_model(db: Session, actor: Actor, name: str) -> Repo:
    repo = access_repo(db, actor, RepoType.MODEL, *split_repo_name(name, field="model"))
    check_content(db, actor, repo)
    return repo


def post_new(request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    """Make the endpoint and show it; the form again with what is wrong."""
    values = {name: form.text(name) for name in FIELDS}
    body: dict[str, Any] = {name: values[name] for name in FIELDS[3:] if values[name]}
    body["pin"] = form.has("pin")
    try:
        if not values["model"]:
            raise BadRequest(lazy("Name the model to serve, such as ada/tiny-llm."), data={"field": "model"})
        repo = _access_model(db, actor, values["model"])
        endpoint = create_endpoint(db, rt, actor, repo, name=values["name"], owner=values["owner"], body=body)
    except LlmosError as error:
        if error.status not in (400, 409, 422, 503):
            raise
        db.rollback()
        return _render(request, rt, db, actor, values, error)
    href = endpoint_href(endpoint)
    db.commit()
    wake_runners("engine")
    return redirect_page(request, href, lazy("The model is being started."))
