"""The home page, and how to connect a client."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from llmos.core.repo_types import RepoType
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import render_page, request_locale
from llmos.features.repos.models import Repo
from llmos.features.repos.page_queries import (
    card_beginnings,
    count_by_type,
    list_mine,
    list_recent,
    list_trending,
)
from llmos.features.repos.pages.labels import TYPE_ICONS, TYPE_LABELS
from llmos.features.repos.pages.snippets import Snippet
from llmos.features.repos.pages.views import summary_of, to_cards
from llmos.infra.i18n import Locale, localize
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.urls import base_url

SHELF_SIZE = 5
SHELVES = (RepoType.MODEL, RepoType.DATASET, RepoType.SPACE)


def home_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    """What is here, what is new, and for members what is theirs."""
    locale = request_locale(request, actor)
    mine = list_mine(db, actor, limit=6) if actor.user_id is not None else []
    recent = list_recent(db, actor, limit=8)
    shelves = {kind: list_trending(db, actor, kind, limit=SHELF_SIZE) for kind in SHELVES}
    texts = _summaries(db, [*mine, *recent, *(repo for row in shelves.values() for repo in row)])
    counts = count_by_type(db, actor)
    context: dict[str, Any] = {
        "counts": [
            {
                "label": localize(TYPE_LABELS[kind], locale),
                "count": counts[kind],
                "href": f"/{kind.plural}",
                "icon": TYPE_ICONS[kind],
            }
            for kind in RepoType
        ],
        "is_empty": not any(counts.values()),
        "mine": to_cards(mine, locale, texts),
        "recent": to_cards(recent, locale, texts),
        "shelves": [_shelf(kind, rows, texts, locale) for kind, rows in shelves.items() if rows],
        "connect": connect_snippets(base_url(request, rt.settings)),
    }
    return render_page(request, actor, "repos/home.html", context)


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


def connect_snippets(address: str) -> list[Snippet]:
    """How the usual clients reach this instance."""
    return [
        Snippet("Shell", f"pip install -U huggingface_hub\nexport HF_ENDPOINT={address}\nhf auth login"),
        Snippet(
            "Python",
            'import os\n\nos.environ["HF_ENDPOINT"] = "' + address + '"\n\n'
            'from transformers import pipeline\n\npipe = pipeline("text-generation", model="ada/tiny-llm")',
            "py",
        ),
        Snippet("Git", f"git lfs install\ngit clone {address}/ada/tiny-llm"),
    ]


def start_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    """`/docs`: from nothing to a first download and a first upload."""
    context = {"address": base_url(request, rt.settings), "user": actor.name or "ada"}
    return render_page(request, actor, "repos/start.html", context)


def robots(_request: Request) -> Response:
    """Crawlers read cards, not the endless combinations of filters and revisions."""
    lines = [
        "User-agent: *",
        "Disallow: /api/",
        "Disallow: /search",
        "Disallow: /*?",
        "Disallow: /*/commits/",
    ]
    lines += ["Disallow: /*/blame/", "Disallow: /*/compare/", "Disallow: /*/resolve/", "Disallow: /*/raw/"]
    return Response("\n".join(lines) + "\n", media_type="text/plain")
