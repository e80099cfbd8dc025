"""The home page: for visitors what this place is, for members what is new around them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import redirect_to_login, render_page, request_locale
from llmos.features.discovery.feed import list_feed, suggest_to_follow
from llmos.features.discussions.forum_lists import list_latest_topics
from llmos.features.discussions.hrefs import thread_href
from llmos.features.discussions.models import Thread
from llmos.features.repos.models import Repo
from llmos.features.repos.page_selections import (
    card_beginnings,
    count_by_type,
    list_mine,
    list_recent,
    list_trending,
)
from llmos.features.repos.pages.connect import connect_snippets
from llmos.features.repos.pages.labels import TYPE_ICONS, TYPE_LABELS
from llmos.features.repos.pages.views import summary_of, to_cards
from llmos.infra.i18n import Locale, localize
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.urls import base_url
from llmos.ui.filters import with_query


@dataclass(frozen=True)
class HomeOffer:
    """A card above all else: a template, and what it shows as `offer`."""

    template: str
    shown: dict[str, Any]


# What upper features offer on the home page to members who have nothing of their own; each may answer None.
home_offers: list[Callable[[Session, Actor], HomeOffer | None]] = []
SHELF_SIZE = 5
SHELVES = (RepoType.MODEL, RepoType.DATASET, RepoType.SPACE)


def home_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    """What is here, what is new, and for members what is theirs and around them."""
    locale = request_locale(request, actor)
    mine = list_mine(db, actor, limit=4) if actor.user_id is not None else []
    recent = list_recent(db, actor, limit=6)
    shelves = list_trending(db, actor, SHELVES, limit=SHELF_SIZE)
    texts = _summaries(db, [*mine, *recent, *(repo for row in shelves.values() for repo in row)])
    counts = count_by_type(db, actor) if actor.user_id is None else {}
    context: dict[str, Any] = {
        "counts": [
            {
                "label": localize(TYPE_LABELS[kind], locale),
                "count": counts[kind],
                "href": f"/{kind.plural}",
                "icon": TYPE_ICONS[kind],
            }
            for kind in counts
        ],
        "is_empty": not recent,
        "mine": to_cards(mine, locale, texts),
        "recent": to_cards(recent, locale, texts),
        "shelves": [_shelf(kind, rows, texts, locale) for kind, rows in shelves.items() if rows],
        "topics": [_topic(thread, locale) for thread in list_latest_topics(db, limit=5)],
        "connect": connect_snippets(base_url(request, rt.settings)),
        "offers": [] if mine else [offer for make in home_offers if (offer := make(db, actor)) is not None],
        **_around(db, actor),
    }
    return render_page(request, actor, "discovery/home.html", context)


def _topic(thread: Thread, locale: Locale) -> dict[str, Any]:
    category = thread.category
    return {
        "title": thread.title,
        "href": thread_href(thread),
        "where": (category.name_zh if locale == "zh" else category.name_en) if category else "",
        "author": thread.last_author.name if thread.last_author else "",
        "icon": "circle-check" if thread.answer_id else "message-circle",
        "comment_count": max(thread.comment_count - 1, 0),
        "at": thread.last_activity_at,
    }


def _around(db: Session, actor: Actor) -> dict[str, Any]:
    """For members: news of those they follow, or whom they might; their drafts."""
    if actor.user_id is None:
        return {"news": [], "suggested": [], "drafts": []}
    news = list_feed(db, actor, limit=8).items
    suggested = [] if news else suggest_to_follow(db, actor, is_for_newcomers=True)
    statement = (
        select(Thread, Repo)
        .outerjoin(Repo, Repo.id == Thread.repo_id)
        .where(Thread.author_id == actor.user_id, Thread.status == "draft")
        .order_by(Thread.id.desc())
        .limit(5)
    )
    drafts = [
        {"title": thread.title, "href": thread_href(thread), "at": thread.last_activity_at}
        for thread, repo in db.execute(statement).unique()
    ]
    return {"news": news, "suggested": suggested, "drafts": drafts}


def _summaries(db: Session, repos: list[Repo]) -> dict[int, str]:
    beginnings = card_beginnings(db, {repo.id for repo in repos})
    return {repo_id: summary_of(text) for repo_id, text in beginnings.items()}


def _shelf(kind: RepoType, repos: list[Repo], texts: dict[int, str], locale: Locale) -> dict[str, Any]:
    return {
        "title": localize(TYPE_LABELS[kind], locale),
        "icon": TYPE_ICONS[kind],
        "href": f"/{kind.plural}",
        "cards": to_cards(repos, locale, texts),
    }


def feed_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """All the news of those the viewer follows."""
    if actor.user_id is None:
        return redirect_to_login(request)
    page = list_feed(db, actor, limit=30, cursor=request.query_params.get("cursor"))
    context = {
        "news": page.items,
        "suggested": [] if page.items else suggest_to_follow(db, actor),
        "next_href": with_query("/feed", {"cursor": page.next_cursor}) if page.next_cursor else None,
    }
    return render_page(request, actor, "discovery/feed.html", context)
