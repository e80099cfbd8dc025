"""`/which-model`: what fits into the memory at hand."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import ANONYMOUS
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import render_page, request_locale
from llmos.features.discovery.which import Candidate, Wish, which_models
from llmos.features.repos.page_queries import ListQuery, count_list
from llmos.features.repos.page_selections import card_beginnings
from llmos.features.repos.pages.labels import language_label, license_label, short_count, task_label
from llmos.features.repos.pages.views import summary_of, to_card
from llmos.infra.i18n import Locale, lazy, translator
from llmos.infra.web.deps import ReadDb
from llmos.ui.views import Option

MAX_OPTIONS = 60


def read_wish(request: Request) -> Wish:
    """BadRequest for a memory that is no number of gigabytes."""
    params = request.query_params

    def text(key: str) -> str:
        value = params.get(key, "").strip()
        if "\0" in value or len(value) > 80:
            raise BadRequest(
                lazy("%(key)s is too long or holds a character that text may not have.", key=key)
            )
        return value

    memory = text("memory").replace(",", ".")
    try:
        memory_gb = float(memory) if memory else 0.0
    except ValueError as error:
        raise BadRequest(
            lazy("memory must be a number of gigabytes, not %(memory)r.", memory=memory[:20])
        ) from error
    if not 0 <= memory_gb <= 100_000:
        raise BadRequest(lazy("memory must be between 0 and 100,000 gigabytes."))
    return Wish(text("task"), text("language"), text("license"), memory_gb)


def which_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    wish, locale = read_wish(request), request_locale(request, actor)
    is_asked = bool(request.query_params)
    answer = which_models(db, actor, wish) if is_asked else None
    shown = [*answer.fitting, *answer.quantised] if answer else []
    beginnings = card_beginnings(db, [item.repo.id for item in shown]) if shown else {}

    def rows(items: list[Candidate]) -> list[dict[str, Any]]:
        return [_row(item, beginnings.get(item.repo.id, ""), locale) for item in items]

    context: dict[str, Any] = {
        "wish": wish,
        "memory": f"{wish.memory_gb:g}" if wish.memory_gb else "",
        "is_asked": is_asked,
        "fitting": rows(answer.fitting) if answer else [],
        "quantised": rows(answer.quantised) if answer else [],
        "too_large": answer.too_large if answer else 0,
        "unknown": answer.unknown if answer else 0,
        "smallest": _row(answer.smallest, "", locale) if answer and answer.smallest else None,
        **_options(db, locale),
    }
    return render_page(request, actor, "discovery/which.html", context)


def _row(item: Candidate, text: str, locale: Locale) -> dict[str, Any]:
    return {
        "card": to_card(item.repo, locale, summary_of(text)),
        "name": item.repo.repo_name,
        "parameters": short_count(item.repo.total_parameters) if item.repo.total_parameters else None,
        "needs_bytes": item.needs_bytes,
        "quantised_bytes": item.quantised_bytes,
        "evaluations": item.evaluations,
        "likes": item.repo.likes,
        "downloads": item.repo.downloads,
    }


def _options(db: Session, locale: Locale) -> dict[str, list[Option]]:
    """What public models offer, the most frequent first; counted at most every few seconds."""
    counts = count_list(
        db, ANONYMOUS, ListQuery(RepoType.MODEL), None, ("task", "language", "license")
    ).facets
    labels = {
        "task": lambda value: task_label(value, locale),
        "language": lambda value: language_label(value, locale),
        "license": license_label,
    }
    any_value = Option("", translator(locale).gettext("Any"))
    return {
        f"{key}_options": [any_value]
        + [Option(value, label) for value, _ in counts[key][:MAX_OPTIONS] if (label := labels[key](value))]
        for key in labels
    }
