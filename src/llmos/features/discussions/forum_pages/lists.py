"""The first page of the forum, its categories and tags, and what people keep there."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from llmos.core.errors import NotFound
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import redirect_to_login, render_page, request_locale
from llmos.features.discussions.categories import access_category, list_categories
from llmos.features.discussions.forum_kept import list_bookmarks, list_drafts
from llmos.features.discussions.forum_lists import (
    PERIODS,
    VIEWS,
    TopicFilter,
    count_topics,
    list_forum_topics,
    list_last_topics,
    list_popular_tags,
)
from llmos.features.discussions.forum_pages.hrefs import post_href, topic_href
from llmos.features.discussions.forum_pages.rows import topic_rows, view_category
from llmos.features.discussions.pages.thread_parts import person_of
from llmos.infra.i18n import Locale, lazy, localize
from llmos.infra.web.deps import ReadDb
from llmos.ui.filters import with_query
from llmos.ui.views import Tab

_VIEW_LABELS = {
    "latest": (lazy("Latest"), "clock"),
    "top": (lazy("Top"), "trending-up"),
    "unanswered": (lazy("Unanswered"), "circle-question-mark"),
    "solved": (lazy("Solved"), "circle-check"),
    "mine": (lazy("Mine"), "user"),
}
_PERIOD_LABELS = {
    "week": lazy("This week"),
    "month": lazy("This month"),
    "year": lazy("This year"),
    "all": lazy("All time"),
}
EXCERPT_CHARS = 240


def front_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """Categories with their last topics, then the topics of a view."""
    locale = request_locale(request, actor)
    wish = _wish(request)
    if wish.view == "mine" and actor.user_id is None:
        return redirect_to_login(request)
    cursor = request.query_params.get("cursor")
    categories = list_categories(db)
    is_front = wish.view == "latest" and not cursor
    context = {
        **_list_context(request, db, actor, wish, locale, "/forum"),
        "categories": _category_cards(db, categories, locale) if is_front else [],
        "popular_tags": list_popular_tags(db) if is_front else [],
        "category": None,
        "tag": "",
        "feed_href": "/-/feeds/forum.atom",
    }
    return render_page(request, actor, "forum/list.html", context)


def category_page(request: Request, db: ReadDb, actor: ActorDep, slug: str) -> Response:
    locale = request_locale(request, actor)
    if "\0" in slug:
        raise NotFound(lazy("There is nothing at this address."))
    category = access_category(db, slug)
    wish = _wish(request, category_id=category.id)
    if wish.view == "mine" and actor.user_id is None:
        return redirect_to_login(request)
    view = view_category(category, locale)
    context = {
        **_list_context(request, db, actor, wish, locale, view.href),
        "categories": [],
        "popular_tags": [],
        "category": view,
        "tag": "",
        "feed_href": f"/-/feeds/forum/{category.slug}.atom",
    }
    return render_page(request, actor, "forum/list.html", context)


def tag_page(request: Request, db: ReadDb, actor: ActorDep, tag: str) -> Response:
    locale = request_locale(request, actor)
    wish = _wish(request, tag=tag[:60])
    if wish.view == "mine" and actor.user_id is None:
        return redirect_to_login(request)
    context = {
        **_list_context(request, db, actor, wish, locale, request.scope["path"]),
        "categories": [],
        "popular_tags": [],
        "category": None,
        "tag": tag[:60].lower(),
        "feed_href": "",
    }
    return render_page(request, actor, "forum/list.html", context)


def _wish(request: Request, category_id: int | None = None, tag: str = "") -> TopicFilter:
    params = request.query_params
    return TopicFilter(params.get("view") or "latest", params.get("period") or "year", category_id, tag)


def _list_context(
    request: Request, db: Session, actor: Actor, wish: TopicFilter, locale: Locale, path: str
) -> dict[str, Any]:
    found = list_forum_topics(db, actor, wish, request.query_params.get("cursor"))
    query = {
        "view": wish.view if wish.view != "latest" else None,
        "period": wish.period if wish.view == "top" and wish.period != "year" else None,
    }
    return {
        "rows": topic_rows(db, found.items, locale),
        "view": wish.view,
        "tabs": _tabs(wish, path, locale, is_member=actor.user_id is not None),
        "periods": _periods(wish, path, locale) if wish.view == "top" else [],
        "next_href": with_query(path, {**query, "cursor": found.next_cursor}) if found.next_cursor else None,
        "is_first": not request.query_params.get("cursor"),
    }


def _tabs(wish: TopicFilter, path: str, locale: Locale, *, is_member: bool) -> list[Tab]:
    tabs = [
        Tab(
            localize(_VIEW_LABELS[view][0], locale),
            with_query(path, {"view": view if view != "latest" else None}),
            _VIEW_LABELS[view][1],
            is_current=view == wish.view,
        )
        for view in VIEWS
        if is_member or view != "mine"
    ]
    if is_member and path == "/forum":
        tabs.append(Tab(localize(lazy("Bookmarks"), locale), "/forum/bookmarks", "bookmark"))
    return tabs


def _periods(wish: TopicFilter, path: str, locale: Locale) -> list[Tab]:
    return [
        Tab(
            localize(_PERIOD_LABELS[period], locale),
            with_query(path, {"view": "top", "period": period}),
            is_current=period == wish.period,
        )
        for period in PERIODS
    ]


def _category_cards(db: Session, categories: Any, locale: Locale) -> list[dict[str, Any]]:
    counts = count_topics(db)
    last: dict[int, list[Any]] = list_last_topics(db, categories)
    return [
        {
            "view": view_category(category, locale),
            "count": counts.get(category.id, 0),
            "last": [
                {"title": thread.title, "href": topic_href(thread), "at": thread.last_activity_at}
                for thread in last.get(category.id, [])
            ],
        }
        for category in categories
    ]


def bookmarks_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """The posts the reader has kept, with the beginning of each."""
    if actor.user_id is None:
        return redirect_to_login(request)
    locale = request_locale(request, actor)
    found = list_bookmarks(db, actor, request.query_params.get("cursor"))
    rows = [
        {
            "title": row.comment.thread.title,
            "href": post_href(row.comment.thread, row.comment.public_id),
            "author": person_of(row.comment.author),
            "excerpt": excerpt_of(row.comment.text),
            "at": row.created_at,
            "action": f"{topic_href(row.comment.thread)}/bookmark",
            "public_id": row.comment.public_id,
        }
        for row in found.items
    ]
    path = "/forum/bookmarks"
    tabs = _tabs(TopicFilter(), "/forum", locale, is_member=True)
    tabs = [Tab(tab.label, tab.href, tab.icon, is_current=tab.href == path) for tab in tabs]
    next_href = with_query(path, {"cursor": found.next_cursor}) if found.next_cursor else None
    return render_page(
        request, actor, "forum/bookmarks.html", {"rows": rows, "tabs": tabs, "next_href": next_href}
    )


def excerpt_of(text: str) -> str:
    """The beginning of a text on one line, without quotations."""
    lines = [line for line in text[: EXCERPT_CHARS * 8].splitlines() if not line.lstrip().startswith(">")]
    words = " ".join(" ".join(lines).split())
    return words if len(words) <= EXCERPT_CHARS else words[: EXCERPT_CHARS - 1] + "…"


def drafts_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    if actor.user_id is None:
        return redirect_to_login(request)
    rows = [
        {
            "place": draft.place,
            "title": draft.title or (topic.title if topic is not None else ""),
            "is_reply": draft.place != "new",
            "is_gone": draft.place != "new" and topic is None,
            "href": "/forum/new" if topic is None else f"{topic_href(topic)}#reply",
            "text": draft.text,
            "excerpt": excerpt_of(draft.text),
            "at": draft.updated_at,
        }
        for draft, topic in list_drafts(db, actor)
    ]
    return render_page(request, actor, "forum/drafts.html", {"rows": rows})
