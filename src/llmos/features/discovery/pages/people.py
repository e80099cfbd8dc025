"""Pages of people and organisations: who they are, what they do and publish."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from llmos.core.pagination import Page, decode_cursor, make_page
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.accounts.queries import (
    NamespaceCard,
    Profile,
    list_followers,
    list_following,
    list_members,
    profile,
)
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import render_page, request_locale
from llmos.features.discovery.activity import activity_year
from llmos.features.discussions.hrefs import thread_href
from llmos.features.discussions.models import Thread
from llmos.features.jobs.pages.views import duration
from llmos.features.jobs.queries import get_credit
from llmos.features.repos.cursors import cursor_int
from llmos.features.repos.likes import list_liked_repos
from llmos.features.repos.models import Repo, RepoFacts
from llmos.features.repos.page_selections import card_beginnings, count_by_type, list_owned
from llmos.features.repos.pages.labels import TYPE_ICONS, TYPE_LABELS
from llmos.features.repos.pages.views import summary_of, to_cards
from llmos.features.repos.policy import can_create
from llmos.features.repos.visibility import visible_to
from llmos.infra.i18n import Locale, localize, translator
from llmos.infra.web.deps import ReadDb
from llmos.ui.filters import with_query
from llmos.ui.markdown import Rendered, render_markdown
from llmos.ui.views import Tab

SHOWN_PER_TYPE = 6
PAGE_SIZE = 30
README = "readme"
PARTS = ("threads", "likes", "followers", "following", "members")


def profile_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """The overview: README of the name, activity, and of each type the last changed repositories."""
    name = request.path_params["ns"]
    person, locale = profile(db, actor, name), request_locale(request, actor)
    if person.name != name:
        return RedirectResponse(f"/{person.name}", 307)
    counts = count_by_type(db, actor, person.namespace_id)
    shelves = list_owned(db, actor, person.namespace_id, limit=SHOWN_PER_TYPE)
    beginnings = card_beginnings(db, [repo.id for repos in shelves.values() for repo in repos])
    texts = {repo_id: summary_of(text) for repo_id, text in beginnings.items()}
    groups: list[dict[str, Any]] = []
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
    context = _head(db, actor, person, locale, "overview") | {
        "groups": groups,
        "readme": _readme(db, actor, person),
        "year": _year_view(db, person, locale) if person.kind == "user" else None,
    }
    return render_page(request, actor, "discovery/profile.html", context)


def _head(db: Session, actor: Actor, person: Profile, locale: Locale, current: str) -> dict[str, Any]:
    _ = translator(locale).gettext
    base = f"/{person.name}"
    tabs = [Tab(_("Overview"), base, "user", is_current=current == "overview")]
    if person.kind == "user":
        tabs.append(Tab(_("Threads"), f"{base}/-/threads", "message-square", is_current=current == "threads"))
        tabs.append(Tab(_("Likes"), f"{base}/-/likes", "heart", is_current=current == "likes"))
    else:
        tabs.append(
            Tab(_("Members"), f"{base}/-/members", "users", person.members_count, current == "members")
        )
    tabs.append(Tab(_("Collections"), with_query("/collections", {"owner": person.name}), "layers"))
    may_create = can_create(actor, db.get_one(Namespace, person.namespace_id))
    credit = get_credit(db, person.namespace_id) if person.kind == "user" else None
    machine_time = duration(credit.seconds) if credit is not None else None
    return {"person": person, "tabs": tabs, "may_create": may_create, "machine_time": machine_time}


def _readme(db: Session, actor: Actor, person: Profile) -> Rendered | None:
    """The card of the repository `<name>/README`, of a Space before other types."""
    statement = (
        select(RepoFacts.card_text, Repo)
        .join(Repo, Repo.id == RepoFacts.repo_id)
        .where(Repo.namespace_id == person.namespace_id, Repo.name_key == README, visible_to(actor))
    )
    rows = list(db.execute(statement).unique())
    rows.sort(key=lambda row: row[1].type != RepoType.SPACE.value)
    if not rows or not rows[0][0].strip():
        return None
    text, repo = rows[0]
    path = f"/{repo.repo_type.url_prefix}{repo.repo_name}"
    return render_markdown(text, base_url_for_links=f"{path}/blob/main/", image_base=f"{path}/resolve/main/")


def _year_view(db: Session, person: Profile, locale: Locale) -> dict[str, Any]:
    """The heat map as rows of weekdays, with what a reader hears of each day."""
    from babel.dates import format_date, get_day_names

    year = activity_year(db, person.namespace_id)
    babel_locale = "zh_Hans" if locale == "zh" else "en"
    days = get_day_names("abbreviated", locale=babel_locale)
    months: list[str] = []
    for number, week in enumerate(year.weeks):
        first = next(entry[0] for entry in week if entry is not None)
        is_new = number == 0 or first.day <= 7
        months.append(format_date(first, "MMM", locale=babel_locale) if is_new and number < 51 else "")
    rows = []
    for weekday in range(7):
        cells: list[dict[str, object] | None] = []
        for week in year.weeks:
            entry = week[weekday]
            if entry is None:
                cells.append(None)
                continue
            day, count = entry
            cells.append(
                {
                    "level": year.level(count),
                    "count": count,
                    "date": format_date(day, "medium", locale=babel_locale),
                }
            )
        rows.append({"label": days[weekday], "cells": cells})
    return {"rows": rows, "months": months, "total": year.total}


def make_part_page(part: str) -> Callable[..., Response]:
    """The endpoint of one list below a profile."""

    def part_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
        name = request.path_params["ns"]
        person, locale = profile(db, actor, name), request_locale(request, actor)
        cursor = request.query_params.get("cursor")
        context = _head(db, actor, person, locale, part) | {"part": part, "title": _title(part, locale)}
        if part == "threads":
            threads = _list_threads(db, actor, person, cursor)
            context["threads"], next_cursor = [_thread(*row) for row in threads.items], threads.next_cursor
        elif part == "likes":
            liked = list_liked_repos(db, actor, person.namespace_id, cursor=cursor, limit=PAGE_SIZE)
            context["cards"] = _liked_cards(db, [item.repo_id for item in liked.items], locale)
            next_cursor = liked.next_cursor
        else:
            people = _list_people(db, person, part, cursor)
            context["people"], next_cursor = people.items, people.next_cursor
        href = with_query(f"/{person.name}/-/{part}", {"cursor": next_cursor})
        context["next_href"] = href if next_cursor else None
        return render_page(request, actor, "discovery/profile_part.html", context)

    return part_page


def _title(part: str, locale: Locale) -> str:
    _ = translator(locale).gettext
    return {
        "threads": _("Threads"),
        "likes": _("Likes"),
        "followers": _("Followers"),
        "following": _("Following"),
        "members": _("Members"),
    }[part]


def _list_people(db: Session, person: Profile, part: str, cursor: str | None) -> Page[NamespaceCard]:
    namespace = db.get_one(Namespace, person.namespace_id)
    if part == "members":
        return list_members(db, namespace.id, limit=PAGE_SIZE, cursor=cursor)
    if part == "following":
        if namespace.user is None:
            return Page([])
        return list_following(db, namespace.user, limit=PAGE_SIZE, cursor=cursor)
    return list_followers(db, namespace, limit=PAGE_SIZE, cursor=cursor)


def _list_threads(
    db: Session, actor: Actor, person: Profile, cursor: str | None
) -> Page[tuple[Thread, Repo | None]]:
    statement = (
        select(Thread, Repo)
        .outerjoin(Repo, Repo.id == Thread.repo_id)
        .where(
            Thread.author_id == person.namespace_id,
            Thread.hidden_at.is_(None),
            or_(Thread.repo_id.is_(None), visible_to(actor)),
        )
        .order_by(Thread.id.desc())
        .limit(PAGE_SIZE + 1)
    )
    after = decode_cursor(cursor, 1)
    if after:
        statement = statement.where(Thread.id < cursor_int(after[0]))
    rows: list[tuple[Thread, Repo | None]] = [(row[0], row[1]) for row in db.execute(statement).unique()]
    return make_page(rows, PAGE_SIZE, lambda row: [row[0].id])


def _thread(thread: Thread, repo: Repo | None) -> dict[str, Any]:
    return {
        "title": thread.title,
        "href": thread_href(thread),
        "icon": "git-pull-request" if thread.is_pull_request else "message-square",
        "where": repo.repo_name if repo is not None else "",
        "comment_count": thread.comment_count,
        "at": thread.created_at,
    }


def _liked_cards(db: Session, ids: list[int], locale: Locale) -> list[Any]:
    found = {repo.id: repo for repo in db.scalars(select(Repo).where(Repo.id.in_(ids))).unique()}
    repos = [found[id_] for id_ in ids if id_ in found]
    beginnings = card_beginnings(db, ids) if ids else {}
    return to_cards(repos, locale, {id_: summary_of(text) for id_, text in beginnings.items()})
