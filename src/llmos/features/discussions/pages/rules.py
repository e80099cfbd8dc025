"""The settings of a repository's community: discussions on or off, what a merge needs."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
)
from llmos.features.discussions.policy import get_rules
from llmos.features.discussions.reviews import MAX_APPROVALS, MAX_CHECKS, set_rules
from llmos.features.repos.models import Repo
from llmos.features.repos.pages.frame import repo_frame
from llmos.features.repos.pages.routes import RepoRoutes, page_repo, repo_href
from llmos.features.repos.policy import check_admin
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb

routes = RepoRoutes()


@routes.get("/settings/community")
def rules_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    repo = page_repo(request, db, actor)
    if actor.user_id is None:
        return redirect_to_login(request)
    rules = get_rules(db, repo.id)
    values = {
        "is_on": not rules.are_discussions_disabled,
        "approvals": str(rules.required_approvals),
        "checks": "\n".join(rules.required_checks),
    }
    return _render(request, rt, db, actor, repo, values)


def _render(
    request: Request,
    rt: Runtime,
    db: Session,
    actor: Actor,
    repo: Repo,
    values: dict[str, Any],
    refusal: BadRequest | None = None,
) -> Response:
    check_admin(actor, repo)
    context = {
        "frame": repo_frame(db, rt, actor, repo, request_locale(request, actor), "settings"),
        "href": f"{repo_href(repo)}/settings/community",
        "values": values,
        "error": refusal.message if refusal else "",
        "max_approvals": MAX_APPROVALS,
        "max_checks": MAX_CHECKS,
    }
    status = refusal.status if refusal else 200
    return render_page(request, actor, "discussions/rules.html", context, status=status)


@routes.post("/settings/community")
def post_rules(request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    repo = page_repo(request, db, actor)
    if actor.user_id is None:
        return redirect_page(request, f"/login?next={repo_href(repo)}/settings/community")
    approvals = form.text("approvals") or "0"
    values = {"is_on": form.has("is_on"), "approvals": approvals, "checks": form.text("checks")}
    try:
        set_rules(
            db,
            actor,
            repo,
            are_discussions_disabled=not values["is_on"],
            required_approvals=int(approvals) if approvals.isdecimal() and len(approvals) < 5 else -1,
            required_checks=form.text("checks").splitlines(),
        )
    except BadRequest as refusal:
        db.rollback()
        with rt.database.reading() as look:
            repo = page_repo(request, look, actor)
            return _render(request, rt, look, actor, repo, values, refusal)
    return redirect_page(request, f"{repo_href(repo)}/settings/community", lazy("The rules are saved."))
