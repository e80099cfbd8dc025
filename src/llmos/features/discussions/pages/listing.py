"""The Community tab of a repository: its discussions and pull requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from llmos.core.errors import BadRequest
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import render_page, request_locale
from llmos.features.discussions.models import Thread
from llmos.features.discussions.pages.spots import list_href
from llmos.features.discussions.pages.thread_parts import person_of
from llmos.features.discussions.policy import get_rules
from llmos.features.discussions.queries import (
    PAGE_SIZE,
    SORTS,
    ThreadCounts,
    ThreadFilters,
    count_threads,
    list_sorted,
)
from llmos.features.repos.pages.frame import repo_frame
from llmos.features.repos.pages.routes import RepoRoutes, page_repo
from llmos.infra.i18n import Locale, lazy, translator
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.ui.filters import with_query
from llmos.ui.views import Option, Tab

routes = RepoRoutes()
MAX_PAGE = 4000


@routes.get("/discussions")
def list_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    """`?status=closed&kind=pull_request&author=ada&search=loss&sort=active&p=2`."""
    repo = page_repo(request, db, actor)
    locale = request_locale(request, actor)
    wish = _wish(request)
    filters = ThreadFilters(
        kind=wish["kind"] or "all",
        status=wish["status"] or "open",
        author=wish["author"],
        text=wish["search"],
    )
    page = _page_number(request)
    found = list_sorted(db, actor, repo, filters, wish["sort"] or "newest", page=page, limit=PAGE_SIZE)
    href = list_href(repo)
    here = {key: value for key, value in wish.items() if value}
    context: dict[str, Any] = {
        "frame": repo_frame(db, rt, actor, repo, locale, "community"),
        "href": href,
        "tabs": _tabs(count_threads(db, repo), wish, href, locale),
        "rows": [_row(thread, href) for thread in found[:PAGE_SIZE]],
        "wish": wish,
        "is_filtered": bool(wish["kind"] or wish["author"] or wish["search"]),
        "kinds": _kinds(locale),
        "sorts": _sorts(locale),
        "newer": with_query(href, {**here, "p": page if page > 1 else None}) if page else None,
        "older": with_query(href, {**here, "p": page + 2}) if len(found) > PAGE_SIZE else None,
        "is_off": get_rules(db, repo.id).are_discussions_disabled,
    }
    return render_page(request, actor, "discussions/list.html", context)


def _wish(request: Request) -> dict[str, str]:
    query = request.query_params
    wish = {key: query.get(key, "").strip()[:200] for key in ("status", "kind", "author", "search", "sort")}
    wish["author"] = wish["author"].removeprefix("@")
    # What is so anyway stays out of the address.
    for key, usual in (("status", "open"), ("kind", "all"), ("sort", "newest")):
        if wish[key] == usual:
            wish[key] = ""
    return wish


def _page_number(request: Request) -> int:
    text = request.query_params.get("p") or "1"
    if not text.isdecimal() or len(text) > 5 or not 1 <= int(text) <= MAX_PAGE:
        raise BadRequest(lazy("p must be the number of a page, from 1."))
    return int(text) - 1


def _row(thread: Thread, href: str) -> dict[str, Any]:
    return {
        "num": thread.num,
        "href": f"{href}/{thread.num}",
        "title": thread.title,
        "kind": thread.kind,
        "status": thread.status,
        "author": person_of(thread.author),
        "at": thread.created_at,
        "active_at": thread.last_activity_at,
        "replies": max(thread.comment_count - 1, 0),
        "is_pinned": thread.is_pinned,
        "is_locked": thread.is_locked,
        "is_hidden": thread.hidden_at is not None,
        "is_answered": thread.answer_id is not None,
        "base": thread.pull.base_ref.removeprefix("refs/heads/") if thread.pull is not None else "",
    }


def _tabs(counts: ThreadCounts, wish: dict[str, str], href: str, locale: Locale) -> list[Tab]:
    _ = translator(locale).gettext
    number = {
        "discussion": (counts.open_discussions, counts.closed_discussions),
        "pull_request": (counts.open_pulls, counts.closed_pulls),
    }.get(wish["kind"], (counts.open, counts.closed))
    rest = {key: value for key, value in wish.items() if key != "status" and value}
    is_open = wish["status"] not in ("closed", "merged")
    return [
        Tab(_("Open"), with_query(href, rest), "circle-dot", number[0], is_open),
        Tab(
            _("Closed"),
            with_query(href, {**rest, "status": "closed"}),
            "circle-check",
            number[1],
            not is_open,
        ),
    ]


def _kinds(locale: Locale) -> Sequence[Option]:
    _ = translator(locale).gettext
    return [
        Option("", _("All kinds")),
        Option("discussion", _("Discussions")),
        Option("pull_request", _("Pull requests")),
    ]


def _sorts(locale: Locale) -> Sequence[Option]:
    _ = translator(locale).gettext
    words = {
        "newest": _("Newest"),
        "oldest": _("Oldest"),
        "active": _("Latest activity"),
        "comments": _("Most comments"),
    }
    return [Option("" if key == "newest" else key, words[key]) for key in SORTS]
