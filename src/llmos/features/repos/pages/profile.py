"""The page of a person or organisation: who they are and what they publish."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from llmos.core.repo_types import RepoType
from llmos.features.accounts.models import Namespace
from llmos.features.accounts.policy import access_namespace
from llmos.features.accounts.queries import profile
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
)
from llmos.features.repos.lifecycle import list_deleted_repos, restore_deleted_repo
from llmos.features.repos.page_queries import card_beginnings, count_by_type, list_owned
from llmos.features.repos.pages.labels import KINDS, TYPE_ICONS, TYPE_LABELS
from llmos.features.repos.pages.routes import repo_href
from llmos.features.repos.pages.views import summary_of, to_cards
from llmos.features.repos.policy import can_create
from llmos.infra.i18n import lazy, localize
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.ui.filters import with_query

SHOWN_PER_TYPE = 10


def profile_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    name = request.path_params["ns"]
    person, locale = profile(db, actor, name), request_locale(request, actor)
    if person.name != name:
        return RedirectResponse(f"/{person.name}", 307)
    counts = count_by_type(db, actor, person.namespace_id)
    groups: list[dict[str, Any]] = []
    shelves = list_owned(db, actor, person.namespace_id, limit=SHOWN_PER_TYPE)
    beginnings = card_beginnings(db, [repo.id for repos in shelves.values() for repo in repos])
    texts = {repo_id: summary_of(text) for repo_id, text in beginnings.items()}
    for kind, repos in shelves.items():
        more = with_query(f"/{kind.plural}", {"author": person.name, "sort": "updated"})
        groups.append(
            {
                "title": localize(TYPE_LABELS[kind], locale),
                "icon": TYPE_ICONS[kind],
                "count": counts[kind],
                "cards": to_cards(repos, locale, texts),
                "more_href": more if counts[kind] > SHOWN_PER_TYPE else None,
            }
        )
    may_create = can_create(actor, db.get_one(Namespace, person.namespace_id))
    context = {"person": person, "groups": groups, "may_create": may_create}
    return render_page(request, actor, "repos/profile.html", context)


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
