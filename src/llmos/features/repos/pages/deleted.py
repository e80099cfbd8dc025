"""What was deleted in a namespace, and bringing it back."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import Response

from llmos.core.repo_types import RepoType
from llmos.features.accounts.policy import access_namespace
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import PageForm, redirect_page, redirect_to_login, render_page
from llmos.features.repos.lifecycle import list_deleted_repos, restore_deleted_repo
from llmos.features.repos.pages.labels import KINDS
from llmos.features.repos.pages.routes import repo_href
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb


def deleted_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """What was deleted in a namespace and can still be brought back."""
    namespace = access_namespace(db, actor, request.path_params["ns"])
    if actor.user_id is None:
        return redirect_to_login(request)
    rows = [
        {
            "name": item.repo_name,
            "kind": KINDS[RepoType(item.type)],
            "object_id": item.object_id,
            "deleted_at": item.deleted_at,
            "purge_after": item.purge_after,
        }
        for item in list_deleted_repos(db, actor, namespace)
    ]
    context = {"owner": namespace.name, "rows": rows, "action": f"/{namespace.name}/-/deleted"}
    return render_page(request, actor, "repos/deleted.html", context)


def post_restore(request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    if actor.user_id is None:
        return redirect_to_login(request)
    repo = restore_deleted_repo(db, actor, rt, form.text("object_id"))
    return redirect_page(request, repo_href(repo), lazy("%(name)s is back.", name=repo.repo_name))
