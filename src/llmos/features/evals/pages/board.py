"""The board of a benchmark: a tab of its data set, its plots, and its rows as a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.datastructures import QueryParams
from starlette.responses import Response

from llmos.core.errors import BadRequest, LlmosError, NotFound
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
)
from llmos.features.evals.boards import (
    MAX_LISTED,
    PAGE_SIZE,
    SORTS,
    BoardPage,
    BoardQuery,
    BoardRow,
    board_facets,
    list_board,
    list_tasks,
)
from llmos.features.evals.checking import start_check
from llmos.features.evals.comparing import known_ties
from llmos.features.evals.models import Benchmark
from llmos.features.evals.pages.plots import board_plots
from llmos.features.evals.pages.views import evidence_of, interval, model_href, row_json, set_bands
from llmos.features.jobs.pages.views import job_href
from llmos.features.jobs.policy import access_owner
from llmos.features.repos.head_facts import BENCHMARK_TAG
from llmos.features.repos.models import Repo
from llmos.features.repos.page_queries import RANGES
from llmos.features.repos.pages.frame import RepoTab, repo_frame
from llmos.features.repos.pages.labels import language_label, license_label
from llmos.features.repos.pages.routes import RepoRoutes, page_repo, repo_href
from llmos.features.repos.policy import can_write
from llmos.infra.i18n import Locale, lazy, localize
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.ui.filters import with_query
from llmos.ui.views import Option

routes = RepoRoutes()
# Columns a reader may ask for beside rank, model, value and evidence: name -> head.
COLUMNS: dict[str, str] = {
    "n": lazy("Samples"),
    "clean": lazy("Without items in its training data"),
    "size": lazy("Parameters"),
    "precision": lazy("Precision"),
    "license": lazy("Licence"),
    "data": lazy("Open data"),
    "energy": lazy("Energy"),
    "joules": lazy("Joules a token"),
    "time": lazy("Time"),
    "revision": lazy("Revision"),
    "date": lazy("Date"),
}
DEFAULT_COLUMNS = ("n", "clean", "size", "energy", "date")
SIZES = {
    "lt100m": "< 100 M", "100m-1b": "100 M – 1 B", "1b-3b": "1 B – 3 B", "3b-9b": "3 B – 9 B",
    "9b-30b": "9 B – 30 B", "30b-100b": "30 B – 100 B", "gt100b": "> 100 B",
}  # fmt: skip
EVIDENCE_CHOICES = {
    "": lazy("All results"),
    "accepted": lazy("Accepted by the authors, or signed"),
    "signed": lazy("Signed or reproduced"),
    "reproduced": lazy("Reproduced"),
}
SORT_LABELS = {
    "score": lazy("Score"),
    "size": lazy("Smallest first"),
    "energy": lazy("Least energy first"),
    "newest": lazy("Newest first"),
}


def tab_of(repo: Repo) -> RepoTab | None:
    """Data sets with an `eval.yaml` have a board."""
    if repo.repo_type is not RepoType.DATASET or BENCHMARK_TAG not in repo.tags:
        return None
    return RepoTab("leaderboard", lazy("Leaderboard"), "/leaderboard", "trophy")


def access_benchmark(db: Session, repo: Repo) -> list[Benchmark]:
    """The tasks of a data set. NotFound where it is no benchmark."""
    tasks = list_tasks(db, repo.id) if repo.repo_type is RepoType.DATASET else []
    if not tasks:
        raise NotFound(lazy("%(name)s has no valid eval.yaml, so it has no board.", name=repo.repo_name))
    return tasks


def read_query(params: QueryParams, tasks: list[Benchmark]) -> tuple[BoardQuery, Benchmark]:
    """What a reader asks of the board, and the task it is about: the first, unless `task` names another."""
    wanted = params.get("task") or tasks[0].task_id
    task = next((one for one in tasks if one.task_id == wanted), None)
    if task is None:
        raise NotFound(lazy("This benchmark has no task %(task)s.", task=wanted[:100]))
    sort = params.get("sort", "")
    query = BoardQuery(
        task_id=task.task_id,
        size=params.get("size", ""),
        license=params.get("license", "")[:80],
        language=params.get("language", "")[:20],
        precision=params.get("precision", "")[:20],
        evidence=params.get("evidence", ""),
        has_open_data=params.get("open_data") == "on",
        sort=sort if sort in SORTS else "score",
    )
    return query, task


@routes.get("/leaderboard")
def board_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    """The models on a benchmark; `view=plots` draws them."""
    repo = page_repo(request, db, actor)
    tasks = access_benchmark(db, repo)
    params = request.query_params
    query, task = read_query(params, tasks)
    locale = request_locale(request, actor)
    is_plots = params.get("view") == "plots"
    start = _start(params)
    limit = 0 if is_plots else PAGE_SIZE
    page = list_board(db, actor, repo.id, query, start=start, limit=limit)
    rank(db, query, page)
    base = f"{repo_href(repo)}/leaderboard"
    asked = _asked(params)
    context: dict[str, Any] = {
        "frame": repo_frame(db, rt, actor, repo, locale, "leaderboard"),
        "tasks": [
            {"label": one.task_id, "href": with_query(base, {"task": one.task_id}), "is_current": one is task}
            for one in tasks
        ],
        "task": task,
        "base": base,
        "query": query,
        "columns": shown_columns(params, page.rows),
        "all_columns": [(name, localize(label, locale)) for name, label in COLUMNS.items()],
        "rows": board_rows(page, locale),
        "total": page.total,
        "filters": _filters(db, actor, repo, query, locale),
        "is_filtered": any((query.size, query.license, query.language, query.precision, query.evidence))
        or query.has_open_data,
        "is_plots": is_plots,
        "may_check": actor.user_id is not None and can_write(actor, repo),
        "plots": board_plots(db, actor, repo.id, query, task) if is_plots else None,
        "table_href": with_query(base, {**asked, "view": None, "start": None}),
        "plots_href": with_query(base, {**asked, "view": "plots", "start": None}),
        "csv_href": with_query(f"{base}/export/csv", asked),
        "parquet_href": with_query(f"{base}/export/parquet", asked),
        "embed_path": with_query(f"/embed/leaderboard/{repo.repo_name}", {"task": task.task_id}),
        "prev_href": with_query(base, {**asked, "start": max(start - PAGE_SIZE, 0)}) if start else None,
        "next_href": with_query(base, {**asked, "start": start + PAGE_SIZE})
        if start + PAGE_SIZE < page.total and not is_plots
        else None,
    }
    return render_page(request, actor, "evals/board.html", context)


def rank(db: Session, query: BoardQuery, page: BoardPage) -> None:
    """Ranks with ties, where the rows stand in order of score."""
    if query.sort == "score":
        pairs = [
            (one.record_id, other.record_id) for one, other in zip(page.rows, page.rows[1:], strict=False)
        ]
        set_bands(page.rows, known_ties(db, pairs))
    else:
        for row in page.rows:
            row.rank = 0


def _start(params: Mapping[str, str]) -> int:
    text = params.get("start", "")
    return int(text) if text.isdecimal() and len(text) < 7 else 0


def _asked(params: QueryParams) -> dict[str, Any]:
    """The parameters of the page as its links repeat them."""
    names = ("task", "size", "license", "language", "precision", "evidence", "open_data", "sort", "view")
    found: dict[str, Any] = {name: params[name] for name in names if params.get(name)}
    columns = params.getlist("col")
    return found | ({"col": columns} if columns else {})


def chosen_columns(params: QueryParams) -> list[str]:
    """The columns a reader has chosen, in our order."""
    chosen = params.getlist("col")
    return [name for name in COLUMNS if name in (chosen or DEFAULT_COLUMNS)]


def shown_columns(params: QueryParams, rows: Sequence[BoardRow]) -> list[str]:
    """Those chosen; where nobody chose, without a column that would stay empty."""
    columns = chosen_columns(params)
    if "col" not in params and not any(row.found_items for row in rows):
        columns.remove("clean")
    return columns


def board_rows(page: BoardPage, locale: Locale) -> list[dict[str, Any]]:
    """Rows for the macro `board_table`."""
    return [
        {
            "row": row,
            "rank": row.rank,
            "is_tie": row.band == "tie",
            "model_href": model_href(row),
            "interval": interval(row.low, row.high),
            "evidence": evidence_of(row.evidence),
            "record_href": f"/benchmarks/records/{row.record_id}",
            "license": license_label(row.license) if row.license else "",
        }
        for row in page.rows
    ]


def _filters(db: Session, actor: Actor, repo: Repo, query: BoardQuery, locale: Locale) -> dict[str, Any]:
    facets = board_facets(db, actor, repo.id, query.task_id)
    any_ = Option("", localize(lazy("Any"), locale))
    languages = ("en", "zh", "de", "es", "fr", "ja", "ko", "ru")
    return {
        "evidence": [Option(name, localize(label, locale)) for name, label in EVIDENCE_CHOICES.items()],
        "sort": [Option(name, localize(label, locale)) for name, label in SORT_LABELS.items()],
        "size": [any_, *(Option(name, SIZES[name]) for name in RANGES["params"] if name in SIZES)],
        "license": [any_, *(Option(name, license_label(name)) for name in facets["license"])],
        "precision": [any_, *(Option(name, name) for name in facets["precision"])],
        "language": [any_, *(Option(name, language_label(name, locale) or name) for name in languages)],
    }


@routes.post("/leaderboard")
def post_check(request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    """Have a job look for the benchmark's items in the data set `data`."""
    if actor.user_id is None:
        return redirect_to_login(request)
    with rt.database.reading() as look:
        repo = page_repo(request, look, actor)
        access_benchmark(look, repo)
        owner = access_owner(look, actor, "me")
    try:
        job = start_check(db, rt, actor, owner, repo, form.text("data").strip())
    except LlmosError as error:
        db.rollback()
        return redirect_page(request, f"{repo_href(repo)}/leaderboard", error.message, "danger")
    return redirect_page(request, job_href(owner.name, job.object_id), lazy("The check is queued."))


@routes.get("/leaderboard/export/{kind:seg}")
def export_board(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """All rows of the board as CSV or Parquet, by the same filters as the page."""
    kind = request.path_params["kind"]
    if kind not in ("csv", "parquet"):
        raise BadRequest(lazy("A board is exported as csv or parquet."))
    repo = page_repo(request, db, actor)
    query, task = read_query(request.query_params, access_benchmark(db, repo))
    page = list_board(db, actor, repo.id, replace(query, sort="score"), limit=MAX_LISTED)
    set_bands(page.rows)
    rows = [row_json(row) for row in page.rows]
    data = _csv(rows) if kind == "csv" else _parquet(rows)
    name = f"{repo.namespace.name}--{repo.name}--{task.task_id}".replace('"', "").encode("ascii", "replace")
    media = "text/csv; charset=utf-8" if kind == "csv" else "application/vnd.apache.parquet"
    return Response(
        data,
        media_type=media,
        headers={
            "Content-Disposition": f'attachment; filename="{name.decode()}.{kind}"',
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-cache",
        },
    )


def _csv(rows: list[dict[str, Any]]) -> bytes:
    out = io.StringIO()
    if rows:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows({name: _safe(value) for name, value in row.items()} for row in rows)
    return out.getvalue().encode()


def _safe(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula is told that it is text."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out, compression="zstd")
    return out.getvalue()
