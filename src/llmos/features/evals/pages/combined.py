"""Several benchmarks as one board: the mean of scores brought to a common scale."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.responses import Response

from llmos.core.errors import BadRequest
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import render_page, request_locale
from llmos.features.evals.boards import list_benchmarks
from llmos.features.evals.combining import combine
from llmos.features.evals.pages.lists import benchmark_row
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb
from llmos.ui.filters import with_query

MAX_BENCHMARKS = 20
PAGE_SIZE = 50


def combined_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """`b` (repeated, `namespace/name:task`) chooses benchmarks whose best score is known."""
    params = request.query_params
    keys = list(dict.fromkeys(params.getlist("b")))
    if len(keys) > MAX_BENCHMARKS:
        raise BadRequest(lazy("At most %(count)s benchmarks can be combined.", count=MAX_BENCHMARKS))
    locale = request_locale(request, actor)
    known = {
        f"{one.repo.repo_name}:{one.task_id}": one
        for one in list_benchmarks(db, actor, limit=500)
        if one.ceiling is not None and one.higher_is_better
    }
    chosen = [known[key] for key in keys if key in known]
    start = int(params["start"]) if params.get("start", "").isdecimal() and len(params["start"]) < 7 else 0
    rows, total = combine(db, actor, chosen, start=start, limit=PAGE_SIZE) if chosen else ([], 0)
    base = "/benchmarks/combined"
    context: dict[str, Any] = {
        "choices": [
            benchmark_row(one, locale) | {"key": key, "is_chosen": one in chosen}
            for key, one in known.items()
        ],
        "chosen": [benchmark_row(one, locale) for one in chosen],
        "rows": rows,
        "total": total,
        "prev_href": with_query(base, {"b": keys, "start": max(start - PAGE_SIZE, 0)}) if start else None,
        "next_href": with_query(base, {"b": keys, "start": start + PAGE_SIZE})
        if start + PAGE_SIZE < total
        else None,
    }
    return render_page(request, actor, "evals/combined.html", context)
