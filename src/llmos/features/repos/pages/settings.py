"""Settings of a repository: name, visibility, access, copy, deletion."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session

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
from llmos.features.repos.access_settings import parse_gated, update_settings
from llmos.features.repos.gating import handle_access_request, list_access_requests
from llmos.features.repos.lifecycle import delete_repo
from llmos.features.repos.models import AccessRequest, Repo, RepoLfsClaim
from llmos.features.repos.moving import duplicate_repo, move_repo
from llmos.features.repos.naming import parse_visibility
from llmos.features.repos.pages.frame import repo_frame
from llmos.features.repos.pages.new import list_owners, visibility_options
from llmos.features.repos.pages.routes import RepoRoutes, page_repo, repo_href
from llmos.features.repos.policy import check_admin, check_content
from llmos.infra.i18n import Locale, lazy, translator
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.ui.views import Option

routes = RepoRoutes()


@routes.get("/settings")
def settings_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    repo = page_repo(request, db, actor)
    if actor.user_id is None:
        return redirect_to_login(request)
    return _render(request, rt, db, actor, repo)


def _render(
    request: Request,
    rt: Runtime,
    db: Session,
    actor: Actor,
    repo: Repo,
    errors: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    check_admin(actor, repo)
    locale = request_locale(request, actor)
    large_count, large_bytes = db.execute(
        select(func.count(), func.coalesce(func.sum(RepoLfsClaim.size_bytes), 0)).where(
            RepoLfsClaim.repo_id == repo.id
        )
    ).one()
    owners = [Option(owner.name, owner.name) for owner in list_owners(db, actor)]
    if repo.namespace.name not in [owner.value for owner in owners]:
        owners.insert(0, Option(repo.namespace.name, repo.namespace.name))
    context: dict[str, Any] = {
        "frame": repo_frame(db, rt, actor, repo, locale, "settings"),
        "owners": owners,
        "visibility": repo.visibility,
        "visibilities": visibility_options(repo.repo_type, locale),
        "gated": repo.gated or "off",
        "gatings": _gating_options(locale),
        "requests": _requests(db, actor, repo) if repo.gated else {},
        "storage": {
            "head_bytes": repo.main_size_bytes,
            "large_count": large_count,
            "large_bytes": int(large_bytes),
            "used_bytes": repo.used_storage_bytes,
        },
        "errors": errors or {},
    }
    return render_page(request, actor, "repos/settings.html", context, status=status)


def _gating_options(locale: Locale) -> list[Option]:
    _ = translator(locale).gettext
    return [
        Option("off", _("Open"), _("Everyone who sees it can download."), "lock-open"),
        Option(
            "auto", _("On request, at once"), _("People agree to your terms and get access."), "key-round"
        ),
        Option("manual", _("On request, you decide"), _("You accept or refuse each person."), "users"),
    ]


def _requests(db: Session, actor: Actor, repo: Repo) -> dict[str, list[dict[str, Any]]]:
    return {
        status: [
            _request_view(item) for item in list_access_requests(db, actor, repo, status, limit=100).items
        ]
        for status in ("pending", "accepted", "rejected")
    }


def _request_view(item: AccessRequest) -> dict[str, Any]:
    return {
        "user": item.user.name,
        "fullname": item.user.fullname,
        "at": item.created_at,
        "answers": [(str(key), str(value)) for key, value in item.fields.items()],
    }


@routes.post("/settings")
def post_settings(request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    """`action` is rename, visibility, gating, request, duplicate or delete."""
    if actor.user_id is None:
        return redirect_to_login(request)
    action = form.text("action")
    handler = _ACTIONS.get(action)
    if handler is None:
        raise BadRequest(lazy("action must be one of %(choices)s.", choices=", ".join(_ACTIONS)))
    with rt.database.reading() as look:
        repo = page_repo(request, look, actor)
        if action != "duplicate":
            check_admin(actor, repo)
    try:
        return handler(request, rt, db, actor, form)
    except LlmosError as refusal:
        db.rollback()
        with rt.database.reading() as look:
            repo = page_repo(request, look, actor)
            return _render(request, rt, look, actor, repo, {action: refusal.message}, refusal.status)


def _rename(request: Request, rt: Runtime, db: Session, actor: Actor, form: Any) -> Response:
    repo = page_repo(request, db, actor)
    move_repo(db, actor, repo, f"{form.text('owner')}/{form.text('name')}")
    message = lazy("The repository is now called %(name)s.", name=repo.repo_name)
    return redirect_page(request, f"{repo_href(repo)}/settings", message)


def _visibility(request: Request, rt: Runtime, db: Session, actor: Actor, form: Any) -> Response:
    repo = page_repo(request, db, actor)
    update_settings(
        db, actor, repo, visibility=parse_visibility(form.text("visibility"), None, repo.repo_type)
    )
    return redirect_page(request, f"{repo_href(repo)}/settings", lazy("The visibility is saved."))


def _gating(request: Request, rt: Runtime, db: Session, actor: Actor, form: Any) -> Response:
    repo = page_repo(request, db, actor)
    wanted = form.text("gated")
    update_settings(db, actor, repo, gated=parse_gated(False if wanted == "off" else wanted))
    return redirect_page(request, f"{repo_href(repo)}/settings", lazy("The access rule is saved."))


def _request(request: Request, rt: Runtime, db: Session, actor: Actor, form: Any) -> Response:
    repo = page_repo(request, db, actor)
    status = form.text("status")
    handle_access_request(
        db,
        actor,
        repo,
        status=status,
        user_name=form.text("user"),
        rejection_reason=form.text("reason") or None,
    )
    message = lazy("The request of %(name)s is settled.", name=form.text("user"))
    return redirect_page(request, f"{repo_href(repo)}/settings#access", message)


def _duplicate(request: Request, rt: Runtime, db: Session, actor: Actor, form: Any) -> Response:
    with rt.database.reading() as look:
        source = page_repo(request, look, actor)
        check_content(look, actor, source)
    copy = duplicate_repo(db, actor, rt, source, f"{form.text('owner')}/{form.text('name')}")
    message = lazy("%(name)s is a copy with the whole history.", name=copy.repo_name)
    return redirect_page(request, repo_href(copy), message)


def _delete(request: Request, rt: Runtime, db: Session, actor: Actor, form: Any) -> Response:
    repo = page_repo(request, db, actor)
    name = repo.repo_name
    if form.text("confirm") != name:
        raise BadRequest(lazy("Type %(name)s exactly, to show that you mean it.", name=name))
    owner = repo.namespace.name
    delete_repo(db, actor, repo)
    message = lazy("%(name)s is deleted. For seven days you can bring it back.", name=name)
    return redirect_page(request, f"/{owner}/-/deleted", message)


_ACTIONS = {
    "rename": _rename,
    "visibility": _visibility,
    "gating": _gating,
    "request": _request,
    "duplicate": _duplicate,
    "delete": _delete,
}
