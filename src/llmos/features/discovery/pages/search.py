"""One search over repositories, people, threads and the guide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy.orm import Session

from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.queries import card_of
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import render_page, request_locale
from llmos.features.discovery.guide import find_guide
from llmos.features.discovery.highlight import mark_words, snippet
from llmos.features.discovery.posts import find_posts, suggest_threads
from llmos.features.discussions.hrefs import thread_href
from llmos.features.repos.models import Repo
from llmos.features.repos.page_selections import card_beginnings, list_by_object_id, list_people
from llmos.features.repos.pages.labels import KINDS, TYPE_ICONS, TYPE_LABELS
from llmos.features.repos.pages.routes import repo_href
from llmos.features.repos.pages.views import summary_of, to_cards
from llmos.infra.i18n import Locale, localize, translator
from llmos.infra.search.index import search, suggest
from llmos.infra.web.deps import ReadDb
from llmos.ui.filters import with_query
from llmos.ui.views import Tab

MAX_HITS = 200
SHOWN_PER_TYPE = 6
MAX_POSTS = 30
TABS = ("all", "repos", "people", "threads", "docs")
_KINDS = [kind.value for kind in RepoType]


def _query_of(request: Request) -> str:
    return request.query_params.get("q", "").replace("\0", " ").strip()[:200]


def search_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """The best match first; each tab asks for its part only, `all` for a little of each."""
    query, locale = _query_of(request), request_locale(request, actor)
    tab = request.query_params.get("tab", "all")
    tab = tab if tab in TABS else "all"
    parts = set(TABS[1:]) if tab == "all" else {tab}
    few = tab == "all"
    context: dict[str, Any] = {
        "query": query,
        "tabs": _tabs(query, tab, locale),
        "groups": _repo_groups(db, actor, query, locale, few) if query and "repos" in parts else [],
        "people": _people(db, query, 8 if few else 40) if query and "people" in parts else [],
        "posts": _posts(db, actor, query, 6 if few else MAX_POSTS) if query and "threads" in parts else [],
        "docs": _docs(query, locale, 3 if few else 20) if query and "docs" in parts else [],
    }
    return render_page(request, actor, "discovery/search.html", context, search_query=query)


def _tabs(query: str, current: str, locale: Locale) -> list[Tab]:
    _ = translator(locale).gettext
    labels = {
        "all": (_("Everything"), "search"),
        "repos": (_("Repositories"), "box"),
        "people": (_("People"), "users"),
        "threads": (_("Threads"), "message-square"),
        "docs": (_("Guide"), "book-open"),
    }
    return [
        Tab(label, with_query("/search", {"q": query, "tab": key if key != "all" else None}), icon,
            is_current=key == current)
        for key, (label, icon) in labels.items()
    ]  # fmt: skip


def _find_repos(db: Session, actor: Actor, query: str) -> list[Repo]:
    hits = search(db, query, kinds=_KINDS, limit=MAX_HITS)
    ids = [hit.doc_key.removeprefix("repo:") for hit in hits]
    known = list_by_object_id(db, actor, ids) if ids else {}
    return [known[object_id] for object_id in ids if object_id in known]


def _repo_groups(db: Session, actor: Actor, query: str, locale: Locale, few: bool) -> list[dict[str, Any]]:
    found, limit = _find_repos(db, actor, query), SHOWN_PER_TYPE if few else 20
    by_kind = {kind: [repo for repo in found if repo.type == kind.value] for kind in RepoType}
    shown: Sequence[Repo] = [repo for repos in by_kind.values() for repo in repos[:limit]]
    beginnings = card_beginnings(db, [repo.id for repo in shown]) if shown else {}
    texts = {repo_id: summary_of(text) for repo_id, text in beginnings.items()}
    return [
        {
            "title": localize(TYPE_LABELS[kind], locale),
            "icon": TYPE_ICONS[kind],
            "count": len(repos),
            "cards": to_cards(repos[:limit], locale, texts),
            "more_href": with_query(f"/{kind.plural}", {"search": query}) if len(repos) > limit else None,
        }
        for kind, repos in by_kind.items()
        if repos
    ]


def _people(db: Session, query: str, limit: int) -> list[Any]:
    return [card_of(namespace) for namespace in list_people(db, query, limit=limit)]


def _posts(db: Session, actor: Actor, query: str, limit: int) -> list[dict[str, Any]]:
    return [
        {
            "title": mark_words(found.thread.title, query),
            "href": thread_href(found.thread, found.comment),
            "text": snippet(found.comment.text, query),
            "icon": "git-pull-request" if found.thread.kind == "pull_request" else "message-square",
            "where": found.repo.repo_name if found.repo is not None else "",
            "author": found.comment.author.name if found.comment.author is not None else "",
            "at": found.comment.created_at,
        }
        for found in find_posts(db, actor, query, limit=limit)
    ]


def _docs(query: str, locale: Locale, limit: int) -> list[dict[str, Any]]:
    return [
        {"title": page.title, "href": page.href, "text": snippet(page.text, query)}
        for page in find_guide(query, locale, limit=limit)
    ]


def suggestions(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """`[{"label", "href", "kind"}]` for the words typed so far: a few of everything."""
    query, locale = _query_of(request), request_locale(request, actor)
    items: list[dict[str, str]] = []
    if query:
        hits = suggest(db, query, kinds=_KINDS, limit=20)
        ids = [hit.doc_key.removeprefix("repo:") for hit in hits]
        known = list_by_object_id(db, actor, ids) if ids else {}
        repos = [known[object_id] for object_id in ids if object_id in known]
        items += [
            {"label": repo.repo_name, "href": repo_href(repo), "kind": KINDS[repo.repo_type]}
            for repo in repos[:5]
        ]
        items += [
            {"label": person.name, "href": f"/{person.name}", "kind": person.kind}
            for person in list_people(db, query, limit=3)
        ]
        items += [
            {"label": found.thread.title, "href": thread_href(found.thread), "kind": "thread"}
            for found in suggest_threads(db, actor, query)
        ]
        items += [
            {"label": page.title, "href": page.href, "kind": "doc"}
            for page in find_guide(query, locale, in_title=True, limit=2)
        ]
    return JSONResponse(items[:10], headers={"Cache-Control": "private, no-cache"})
