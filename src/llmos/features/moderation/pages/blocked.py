"""`/{repo}/settings/blocked`: who may not write in the discussions of a repository."""

from __future__ import annotations

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core.errors import BadRequest, Conflict, LlmosError, NotFound
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.policy import access_user
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
)
from llmos.features.moderation.blocks import block_user, list_blocks, unblock_user
from llmos.features.moderation.pages.common import QUEUE, day_options, person_of, read_days
from llmos.features.repos.models import Repo
from llmos.features.repos.pages.frame import repo_frame
from llmos.features.repos.pages.routes import RepoRoutes, page_repo, repo_href
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.forms import Form
from llmos.ui.filters import with_query

routes = RepoRoutes()


@routes.get("/settings/blocked")
def get_blocked(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    repo = page_repo(request, db, actor)
    if actor.user_id is None:
        return redirect_to_login(request)
    return _page(request, rt, db, actor, repo)


def _page(
    request: Request,
    rt: Runtime,
    db: Session,
    actor: Actor,
    repo: Repo,
    typed: dict[str, str] | None = None,
    error: LlmosError | None = None,
) -> Response:
    blocks = list_blocks(db, actor, repo)
    locale = request_locale(request, actor)
    context = {
        "frame": repo_frame(db, rt, actor, repo, locale, "settings"),
        "blocks": [
            {
                "person": person_of(block.user),
                "reason": block.reason,
                "at": block.created_at,
                "ends_at": block.ends_at,
            }
            for block in blocks
        ],
        "action": f"{repo_href(repo)}/settings/blocked",
        "queue_href": with_query(QUEUE, {"repo": repo_href(repo)[1:]}),
        "days": day_options(locale),
        "typed": typed or {"name": "", "reason": "", "days": "30"},
        "error": error.message if error is not None else "",
    }
    status = error.status if error is not None else 200
    return render_page(request, actor, "moderation/blocked.html", context, status=status)


@routes.post("/settings/blocked")
def post_blocked(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    """Fields: `action` block (`name`, `reason`, `days`) or unblock (`name`)."""
    typed = {name: form.text(name) for name in ("name", "reason", "days")}
    try:
        with rt.database.writing() as db:
            repo = page_repo(request, db, actor)
            actor.require_user()
            message = _change(db, actor, repo, form, typed)
            back = f"{repo_href(repo)}/settings/blocked"
    except (BadRequest, Conflict, NotFound) as error:
        with rt.database.reading() as db:
            repo = page_repo(request, db, actor)
            return _page(request, rt, db, actor, repo, typed, error)
    return redirect_page(request, back, message)


def _change(db: Session, actor: Actor, repo: Repo, form: Form, typed: dict[str, str]) -> str:
    user = access_user(db, actor, typed["name"].removeprefix("@"))
    if form.text("action") == "unblock":
        unblock_user(db, actor, repo, user)
        return lazy("%(name)s may write here again.", name=user.name)
    block_user(db, actor, repo, user, reason=typed["reason"], days=read_days(typed["days"]))
    return lazy("%(name)s may no longer write here.", name=user.name)
