"""`/moderation`: what was reported and waits, or was judged."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import redirect_to_login, render_page, request_locale
from llmos.features.moderation import queries
from llmos.features.moderation.flags import REASONS
from llmos.features.moderation.models import Case
from llmos.features.moderation.pages.common import QUEUE, person_of, tabs
from llmos.features.moderation.queries import CaseFilters
from llmos.features.moderation.scope import access_scope
from llmos.features.moderation.subjects import KINDS
from llmos.features.moderation.wording import KIND_ICONS, KIND_LABELS
from llmos.features.repos.models import Repo
from llmos.infra.i18n import Locale, localize, translator
from llmos.infra.web.deps import ReadDb
from llmos.infra.web.lazy_routes import Router
from llmos.ui.filters import with_query
from llmos.ui.views import FacetGroup, FacetOption, Option

router = Router(include_in_schema=False)


@router.get(QUEUE)
def get_queue(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """`state` open, judged or mine; `kind`; `sort` weight, oldest or newest; `repo` a repository's path."""
    if actor.is_anonymous:
        return redirect_to_login(request)
    params = request.query_params
    filters = CaseFilters(
        params.get("state") or "open", params.get("kind", ""), params.get("sort") or "weight"
    )
    scope = access_scope(db, actor, params.get("repo", ""))
    page = queries.list_cases(db, actor, scope, filters, params.get("cursor"))
    counts = queries.count_cases(db, actor, scope, filters.state)
    locale = request_locale(request, actor)
    wish = {
        "state": filters.state if filters.state != "open" else None,
        "kind": filters.kind,
        "sort": filters.sort if filters.sort != "weight" else None,
        "repo": scope.key,
    }
    context = {
        "tabs": tabs(scope, "queue", locale, cases=counts.states["open"]),
        "scope": scope,
        "filters": filters,
        "rows": _rows(db, page.items, locale),
        "facets": _facets(counts, filters, wish, locale),
        "sorts": _sorts(locale),
        "wish": wish,
        "total": counts.states[filters.state] if not filters.kind else counts.kinds[filters.kind],
        "next_href": with_query(QUEUE, wish | {"cursor": page.next_cursor}) if page.next_cursor else None,
    }
    return render_page(request, actor, "moderation/queue.html", context)


def _rows(db: Session, cases: list[Case], locale: Locale) -> list[dict[str, Any]]:
    reasons = queries.count_reasons(db, cases)
    repo_ids = {case.repo_id for case in cases if case.repo_id is not None}
    repos = {}
    if repo_ids:
        repos = {repo.id: repo for repo in db.scalars(select(Repo).where(Repo.id.in_(repo_ids))).unique()}
    return [
        {
            "id": case.id,
            "href": f"{QUEUE}/cases/{case.id}",
            "title": case.title,
            "excerpt": " ".join(case.excerpt.split())[:240],
            "kind": KIND_LABELS[case.subject_kind],
            "icon": KIND_ICONS[case.subject_kind],
            "owner": person_of(case.owner),
            "place": repos[case.repo_id].repo_name if case.repo_id in repos else "",
            "reasons": [(localize(REASONS[key], locale), count) for key, count in reasons.get(case.id, [])],
            "score": f"{case.score:.1f}",
            "is_hidden": case.hidden_at is not None,
            "outcome": case.outcome,
            "opened_at": case.opened_at,
            "judged_at": case.judged_at,
        }
        for case in cases
    ]


def _facets(
    counts: queries.CaseCounts, filters: CaseFilters, wish: dict[str, Any], locale: Locale
) -> list[FacetGroup]:
    _ = translator(locale).gettext
    names = {"open": _("Waiting"), "judged": _("Judged"), "mine": _("Judged by you")}
    states = [
        FacetOption(
            names[state],
            with_query(QUEUE, wish | {"state": state if state != "open" else None, "kind": None}),
            counts.states[state],
            state == filters.state,
        )
        for state in queries.STATES
    ]
    kinds = [
        FacetOption(
            localize(KIND_LABELS[kind], locale),
            with_query(QUEUE, wish | {"kind": kind if kind != filters.kind else None}),
            counts.kinds[kind],
            kind == filters.kind,
        )
        for kind in KINDS
        if counts.kinds[kind] or kind == filters.kind
    ]
    groups = [FacetGroup(_("State"), states, "list-checks")]
    return [*groups, FacetGroup(_("What was reported"), kinds, "tag")] if kinds else groups


def _sorts(locale: Locale) -> list[Option]:
    _ = translator(locale).gettext
    return [
        Option("weight", _("Heaviest first")),
        Option("oldest", _("Oldest first")),
        Option("newest", _("Newest first")),
    ]
