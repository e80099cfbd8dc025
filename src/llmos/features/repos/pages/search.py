"""Search over everything: repositories of all types, people and organisations."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from llmos.core.repo_types import RepoType
from llmos.features.accounts.queries import card_of
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import render_page, request_locale
from llmos.features.repos.page_queries import card_beginnings, list_by_object_id, list_people
from llmos.features.repos.pages.labels import KINDS, TYPE_ICONS, TYPE_LABELS
from llmos.features.repos.pages.routes import repo_href
from llmos.features.repos.pages.views import summary_of, to_cards
from llmos.infra.i18n import localize
from llmos.infra.search.index import search, suggest
from llmos.infra.web.deps import ReadDb
from llmos.ui.filters import with_query

MAX_HITS = 200
SHOWN_PER_TYPE = 6
_KINDS = [kind.value for kind in RepoType]


def _query_of(request: Request) -> str:
    return request.query_params.get("q", "").replace("\0", " ").strip()[:200]


def search_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """Results by type, the best match first, and people whose name fits."""
    query, locale = _query_of(request), request_locale(request, actor)
    hits = search(db, query, kinds=_KINDS, limit=MAX_HITS) if query else []
    ids = [hit.doc_key.removeprefix("repo:") for hit in hits]
    known = list_by_object_id(db, actor, ids) if ids else {}
    found = [known[object_id] for object_id in ids if object_id in known]
    groups: list[dict[str, Any]] = []
    shown = [
        repo for kind in RepoType for repo in [r for r in found if r.type == kind.value][:SHOWN_PER_TYPE]
    ]
    beginnings = card_beginnings(db, [repo.id for repo in shown]) if shown else {}
    texts = {repo_id: summary_of(text) for repo_id, text in beginnings.items()}
    for kind in RepoType:
        of_kind = [repo for repo in found if repo.type == kind.value]
        if of_kind:
            groups.append(
                {
                    "title": localize(TYPE_LABELS[kind], locale),
                    "icon": TYPE_ICONS[kind],
                    "count": len(of_kind),
                    "cards": to_cards(of_kind[:SHOWN_PER_TYPE], locale, texts),
                    "more_href": with_query(f"/{kind.plural}", {"search": query})
                    if len(of_kind) > SHOWN_PER_TYPE
                    else None,
                }
            )
    people = [card_of(namespace) for namespace in list_people(db, query, limit=8)] if query else []
    context = {"query": query, "groups": groups, "people": people}
    return render_page(request, actor, "repos/search.html", context, search_query=query)


def suggestions(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """`[{"label", "href"}]` for the words typed so far."""
    query = _query_of(request)
    hits = suggest(db, query, kinds=_KINDS, limit=20) if query else []
    ids = [hit.doc_key.removeprefix("repo:") for hit in hits]
    known = list_by_object_id(db, actor, ids) if ids else {}
    items = [
        {
            "label": known[object_id].repo_name,
            "href": repo_href(known[object_id]),
            "kind": KINDS[known[object_id].repo_type],
        }
        for object_id in ids
        if object_id in known
    ]
    items += [
        {"label": person.name, "href": f"/{person.name}", "kind": person.kind}
        for person in (list_people(db, query, limit=3) if query else [])
    ]
    return JSONResponse(items[:8], headers={"Cache-Control": "private, no-cache"})
