"""All benchmarks of the instance."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.responses import Response

from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import render_page, request_locale
from llmos.features.evals.boards import benchmark_facets, list_benchmarks
from llmos.features.evals.models import Benchmark
from llmos.features.evals.pages.words import kind_label
from llmos.features.repos.pages.labels import language_label
from llmos.infra.i18n import Locale, lazy, localize
from llmos.infra.web.deps import ReadDb
from llmos.ui.filters import with_query
from llmos.ui.views import Option


def benchmarks_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """Filters: `language`, `kind`, `q` in the title."""
    params = request.query_params
    language, kind = params.get("language", "")[:20], params.get("kind", "")[:40]
    search = params.get("q", "").replace("\0", "")[:100].strip()
    locale = request_locale(request, actor)
    facets = benchmark_facets(db, actor)
    rows = list_benchmarks(db, actor, language=language, kind=kind, search=search)
    any_ = Option("", localize(lazy("Any"), locale))
    context: dict[str, Any] = {
        "rows": [benchmark_row(row, locale) for row in rows],
        "languages": [any_, *(Option(one, language_label(one, locale) or one) for one in facets["language"])],
        "kinds": [any_, *(Option(one, kind_label(one, locale)) for one in facets["kind"])],
        "language": language,
        "kind": kind,
        "query": search,
        "is_filtered": bool(language or kind or search),
    }
    return render_page(request, actor, "evals/benchmarks.html", context)


def benchmark_row(row: Benchmark, locale: Locale) -> dict[str, Any]:
    href = f"/datasets/{row.repo.repo_name}/leaderboard"
    return {
        "title": row.title,
        "task": row.task_id,
        "href": with_query(href, {"task": row.task_id}),
        "name": row.repo.repo_name,
        "repo_href": f"/datasets/{row.repo.repo_name}",
        "description": row.description[:200],
        "language": (language_label(row.language, locale) or row.language) if row.language else "",
        "kind": kind_label(row.kind, locale) if row.kind else "",
        "metric": row.metric,
        "higher": row.higher_is_better,
        "models": row.model_count,
        "key": f"{row.repo.repo_name}:{row.task_id}",
    }
