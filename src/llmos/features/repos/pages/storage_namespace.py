"""The storage of a person or organisation: quota, what sharing saves, repository by repository."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import Response

from llmos.core.repo_types import RepoType
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import redirect_to_login, render_page, request_locale
from llmos.features.repos.claims import quota_bytes, used_bytes
from llmos.features.repos.naming import repo_path
from llmos.features.repos.pages.bars import stack
from llmos.features.repos.pages.labels import KINDS
from llmos.features.repos.pages.storage import savings_bar
from llmos.features.repos.quota_view import StoredRepo, access_org_namespace, list_stored_repos
from llmos.features.repos.storage_report import namespace_sums
from llmos.infra.i18n import translator
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.ui.filters import with_query

PAGE_SIZE = 50


def namespace_storage_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    """For members: to everybody else the page does not exist."""
    if actor.user_id is None:
        return redirect_to_login(request)
    namespace = access_org_namespace(db, actor, request.path_params["ns"])
    locale = request_locale(request, actor)
    _ = translator(locale).gettext
    sums = namespace_sums(db, namespace.id)
    counted = used_bytes(db, namespace.id)
    quota = quota_bytes(rt.settings, namespace)
    page = list_stored_repos(
        db, actor, namespace.id, cursor=request.query_params.get("after"), limit=PAGE_SIZE
    )
    href = f"/{namespace.name}/-/storage"
    context: dict[str, Any] = {
        "owner": namespace.name,
        "sums": sums,
        "savings": savings_bar(sums, locale),
        "counted_bytes": counted,
        "quota_bytes": quota,
        "quota_bar": stack([(_("Used"), counted, "bar-stored")], quota) if quota else [],
        "rows": [_row(item, page.items[0].storage_bytes) for item in page.items],
        "next_href": with_query(href, {"after": page.next_cursor}) if page.next_cursor else None,
        "buckets_href": f"/buckets/{namespace.name}",
    }
    return render_page(request, actor, "repos/storage_namespace.html", context)


def _row(item: StoredRepo, largest_bytes: int) -> dict[str, Any]:
    href = repo_path(RepoType(item.type), item.repo_name)
    return {
        "name": item.repo_name,
        "kind": KINDS[RepoType(item.type)],
        "href": href,
        "storage_href": f"{href}/settings/storage",
        "is_private": item.visibility == "private",
        "size_bytes": item.storage_bytes,
        "percent": item.percent,
        "bar": stack([("", item.storage_bytes, "bar-stored")], largest_bytes),
        "updated_at": item.updated_at,
    }
