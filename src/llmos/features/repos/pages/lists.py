"""`/models`, `/datasets`, `/spaces`, `/kernels`: lists one can filter, sort and search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from llmos.core.errors import BadRequest
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import render_page, request_locale
from llmos.features.repos.page_queries import (
    FACETS,
    Counts,
    ListQuery,
    check_sort,
    count_list,
    find_object_ids,
    list_repos,
)
from llmos.features.repos.page_selections import card_beginnings
from llmos.features.repos.pages.labels import (
    SDK_LABELS,
    TYPE_ICONS,
    TYPE_LABELS,
    language_label,
    library_label,
    license_label,
    task_label,
)
from llmos.features.repos.pages.views import summary_of, to_cards
from llmos.infra.i18n import LazyString, Locale, lazy, localize, translator
from llmos.infra.web.deps import ReadDb
from llmos.ui.filters import with_query
from llmos.ui.views import FacetGroup, FacetOption, Option

SHOWN_OPTIONS = 8
_TITLES: dict[str, tuple[LazyString, str]] = {
    "task": (lazy("Task"), "layers"),
    "params": (lazy("Parameters"), "cpu"),
    "memory": (lazy("Runs in"), "activity"),
    "dataset": (lazy("Trained on"), "database"),
    "base_model": (lazy("Built on"), "git-branch"),
    "library": (lazy("Library"), "package"),
    "language": (lazy("Language"), "languages"),
    "license": (lazy("Licence"), "scale"),
    "size": (lazy("Rows"), "list"),
    "format": (lazy("Format"), "file"),
    "sdk": (lazy("Kind"), "app-window"),
    "visibility": (lazy("Visibility"), "eye"),
}
_LEADS: dict[RepoType, LazyString] = {
    RepoType.MODEL: lazy("Weights to download, study and build on."),
    RepoType.DATASET: lazy("Text and tables to train and evaluate with."),
    RepoType.SPACE: lazy("Small applications that show what models can do."),
    RepoType.KERNEL: lazy("Code that others can use: kernels, scripts, recipes."),
}


def read_list_query(request: Request, repo_type: RepoType, actor: Actor) -> ListQuery:
    """The question in the address; unknown parameters are left alone, bad values refused."""
    params = request.query_params

    def text(key: str, limit: int = 200) -> str:
        value = params.get(key, "").strip()
        if "\0" in value or len(value) > limit:
            raise BadRequest(
                lazy("%(key)s is too long or holds a character that text may not have.", key=key)
            )
        return value

    return ListQuery(
        repo_type,
        text=text("search"),
        author=text("author"),
        tag=text("tag"),
        filters={key: value for key in facet_keys(repo_type, actor) if (value := text(key))},
        sort=check_sort(text("sort")),
    )


def list_href(query: ListQuery, **extra: str | None) -> str:
    """The address of a list, with `extra` parameters put in."""
    params: dict[str, str | None] = {
        "search": query.text,
        "author": query.author,
        "tag": query.tag,
        **query.filters,
        "sort": query.sort,
    }
    return with_query(f"/{query.repo_type.plural}", params | extra)


def make_list_page(repo_type: RepoType) -> Callable[..., Response]:
    """The endpoint of one type's list."""

    def list_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
        query = read_list_query(request, repo_type, actor)
        locale = request_locale(request, actor)
        found = find_object_ids(db, query)
        page = list_repos(db, actor, query, found, request.query_params.get("cursor"))
        beginnings = card_beginnings(db, [repo.id for repo in page.items])
        texts = {repo_id: summary_of(text) for repo_id, text in beginnings.items()}
        counts = count_list(db, actor, query, found, facet_keys(repo_type, actor))
        is_filtered = bool(query.filters or query.author or query.tag)
        context: dict[str, Any] = {
            "query": query,
            "title": localize(TYPE_LABELS[repo_type], locale),
            "lead": localize(_LEADS[repo_type], locale),
            "icon_name": TYPE_ICONS[repo_type],
            "new_href": _NEW_HREFS[repo_type],
            "total": counts.total,
            "cards": to_cards(page.items, locale, texts),
            "facets": facet_groups(query, counts, locale),
            "chips": _chips(query, locale),
            "clear_href": with_query(f"/{repo_type.plural}", {"search": query.text, "sort": query.sort})
            if is_filtered
            else None,
            "sorts": _sort_options(query, locale),
            "hidden": {"author": query.author, "tag": query.tag, **query.filters},
            "next_href": list_href(query, cursor=page.next_cursor) if page.next_cursor else None,
        }
        return render_page(request, actor, "repos/list.html", context)

    return list_page


_NEW_HREFS = {
    RepoType.MODEL: "/new",
    RepoType.DATASET: "/new-dataset",
    RepoType.SPACE: "/new-space",
    RepoType.KERNEL: "/new-tool",
}


def _chips(query: ListQuery, locale: Locale) -> list[FacetOption]:
    """Filters that no facet shows: owner and free tag."""
    chips = []
    if query.author:
        chips.append(FacetOption(f"@{query.author}", list_href(replace(query, author="")), is_selected=True))
    if query.tag:
        chips.append(FacetOption(query.tag, list_href(replace(query, tag="")), is_selected=True))
    return chips


def _sort_options(query: ListQuery, locale: Locale) -> list[Option]:
    _ = translator(locale).gettext
    options = [Option("relevance", _("Best match"))] if query.text else []
    return [
        *options,
        Option("trending", _("Trending")),
        Option("updated", _("Recently updated")),
        Option("created", _("Newest")),
        Option("downloads", _("Most downloads")),
        Option("likes", _("Most likes")),
    ]


def facet_keys(repo_type: RepoType, actor: Actor) -> list[str]:
    return [*FACETS[repo_type], *(["visibility"] if actor.user_id is not None else [])]


def facet_groups(query: ListQuery, counts: Counts, locale: Locale) -> list[FacetGroup]:
    """Every facet that has something to choose, a selected value always among the options."""
    groups: list[FacetGroup] = []
    for key, counted in counts.facets.items():
        options = [(value, count, label) for value, count in counted if (label := _label(key, value, locale))]
        chosen = query.filters.get(key)
        shown = options[:SHOWN_OPTIONS]
        if chosen and chosen not in [value for value, _, _ in shown]:
            rest = [option for option in options if option[0] == chosen]
            shown += rest or [(chosen, 0, _label(key, chosen, locale) or chosen)]
        if not shown or (key == "visibility" and len(options) < 2 and not chosen):
            continue
        title, icon = _TITLES[key]
        groups.append(
            FacetGroup(
                localize(title, locale),
                [
                    FacetOption(label, list_href(query.with_filter(key, value)), count, value == chosen)
                    for value, count, label in shown
                ],
                icon,
            )
        )
    return groups


PARAMS_LABELS = {
    "lt100m": "< 100M",
    "100m-1b": "100M – 1B",
    "1b-3b": "1B – 3B",
    "3b-9b": "3B – 9B",
    "9b-30b": "9B – 30B",
    "30b-100b": "30B – 100B",
    "gt100b": "> 100B",
}


def _label(key: str, value: str, locale: Locale) -> str | None:
    """A value in the reader's words; None for what is no value of the facet."""
    _ = translator(locale).gettext
    if key == "task":
        return task_label(value, locale)
    if key == "language":
        return language_label(value, locale)
    if key == "params":
        return PARAMS_LABELS.get(value)
    if key == "memory":
        return _("%(number)s GB of memory") % {"number": value}
    if key == "size":
        return value.upper().replace("N<", "< ").replace("N>", "> ").replace("<< ", " – ").replace("<", " – ")
    words = {
        "library": library_label(value),
        "license": license_label(value),
        "visibility": {"public": _("Public"), "private": _("Private"), "protected": _("Protected")}.get(
            value
        ),
        "sdk": SDK_LABELS.get(value),
    }
    return words.get(key) or value
