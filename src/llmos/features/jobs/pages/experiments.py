"""Training runs side by side: a list to sort and choose from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import redirect_to_login, render_page, request_locale
from llmos.features.jobs.models import Job
from llmos.features.jobs.pages.new import OBJECTIVES
from llmos.features.jobs.pages.views import JobRow, job_row
from llmos.features.jobs.policy import access_owner
from llmos.features.jobs.queries import list_jobs
from llmos.features.jobs.recipes import recipe_part
from llmos.features.jobs.streams import last_figures
from llmos.infra.i18n import lazy, translator
from llmos.infra.web.deps import ReadDb
from llmos.ui.charts import is_known
from llmos.ui.curves import MAX_LINES
from llmos.ui.filters import with_query
from llmos.ui.views import Column

PAGE_SIZE = 50
MAX_FIGURES = 4
_FIRST = ("eval/loss", "eval/perplexity", "eval/accuracy", "eval/f1", "train/loss")
_DULL = ("learning_rate", "gradient_norm", "tokens_per_second")


@dataclass(frozen=True)
class RunRow:
    """A line of the list: the job, what it learns from what, its last figures by name."""

    id: str
    row: JobRow
    objective: str
    model: str
    data: str
    figures: Mapping[str, float | None]


def everybody_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """Training runs of everybody that the viewer may see."""
    return _page(request, db, actor, None)


def owner_page(request: Request, db: ReadDb, actor: ActorDep, ns: str) -> Response:
    """Training runs of a person or organisation."""
    if ns == "me" and actor.user_id is None:
        return redirect_to_login(request)
    return _page(request, db, actor, access_owner(db, actor, ns))


def _page(request: Request, db: Session, actor: Actor, owner: Namespace | None) -> Response:
    query = request.query_params
    here = f"/jobs/{quote(owner.name)}/-/experiments" if owner else "/jobs/-/experiments"
    objective = query.get("objective", "") if query.get("objective", "") in OBJECTIVES else ""
    page = list_jobs(
        db,
        actor,
        owner,
        kind="recipe",
        objective=objective or None,
        cursor=query.get("after"),
        limit=PAGE_SIZE,
    )
    figures = last_figures(db, [job.id for job in page.items])
    names = shown_figures(figures.values())
    rows = [run_row(job, figures[job.id]) for job in page.items]
    sort, is_descending = query.get("sort", ""), query.get("order") == "desc"
    keep = {"objective": objective, "after": query.get("after", "")}
    context = {
        "owner": owner.name if owner else None,
        "base": f"/jobs/{quote(owner.name)}" if owner else "/jobs",
        "rows": sort_rows(rows, sort, is_descending),
        "names": names,
        "columns": _columns(request, actor, here, keep, names, sort, is_descending, with_owner=owner is None),
        "objective": objective,
        "objectives": _objectives(here, objective),
        "chosen": query.getlist("run"),
        "max_lines": MAX_LINES,
        "own_href": f"/jobs/{quote(actor.name)}/-/experiments" if actor.user_id and owner is None else None,
        "all_href": "/jobs/-/experiments" if owner else None,
        "new_href": f"/jobs/{quote(actor.name)}/-/new" if actor.user_id else None,
        "next_href": with_query(here, keep | {"after": page.next_cursor}) if page.next_cursor else None,
    }
    return render_page(request, actor, "jobs/experiments.html", context)


def run_row(job: Job, figures: Mapping[str, float | None]) -> RunRow:
    recipe = job.spec["recipe"]
    model = recipe_part(recipe, "model", "base") or recipe_part(recipe, "model", "preset") or ""
    return RunRow(
        id=job.object_id,
        row=job_row(job),
        objective=str(recipe_part(recipe, "objective") or "")[:20],
        model=str(model)[:80],
        data=", ".join(item["repo"] for item in job.spec["inputs"] if item["type"] == "dataset")[:120],
        figures=figures,
    )


def shown_figures(figures: Any) -> list[str]:
    """The few figures worth a column: what most runs have, evaluation first."""
    counts = Counter(name for one in figures for name in one if not name.endswith(_DULL))
    ranked = sorted(
        counts,
        key=lambda name: (
            _FIRST.index(name) if name in _FIRST else len(_FIRST),
            not name.startswith("eval/"),
            -counts[name],
            name,
        ),
    )
    return ranked[:MAX_FIGURES]


def sort_rows(rows: Sequence[RunRow], sort: str, is_descending: bool) -> list[RunRow]:
    """By a figure (its name), `ran`, `started`, `state` or `objective`; what has no value comes last."""
    keys: dict[str, Any] = {
        "ran": lambda one: one.row.seconds,
        "started": lambda one: one.row.created_at,
        "state": lambda one: one.row.state,
        "objective": lambda one: one.objective or None,
    }
    key = keys.get(sort, lambda one: one.figures.get(sort))
    known = [one for one in rows if _is_sortable(key(one))]
    rest = [one for one in rows if not _is_sortable(key(one))]
    return sorted(known, key=key, reverse=is_descending) + rest


def _is_sortable(value: Any) -> bool:
    return is_known(value) if isinstance(value, float) else value is not None


def _columns(
    request: Request,
    actor: Actor,
    here: str,
    keep: Mapping[str, str],
    names: Sequence[str],
    sort: str,
    is_descending: bool,
    *,
    with_owner: bool,
) -> list[Column]:
    _ = translator(request_locale(request, actor)).gettext

    def column(label: str, key: str, *, is_number: bool = False) -> Column:
        is_current = key == sort
        order = "desc" if is_current and not is_descending else "asc"
        return Column(
            label,
            "end" if is_number else "start",
            with_query(here, {**keep, "sort": key, "order": order}),
            ("descending" if is_descending else "ascending") if is_current else None,
        )

    owner = [Column(_("Owner"))] if with_owner else []
    return [
        Column(_("Compare")),
        Column(_("Run")),
        *owner,
        column(_("State"), "state"),
        column(_("Objective"), "objective"),
        *(column(name, name, is_number=True) for name in names),
        column(_("Ran"), "ran", is_number=True),
        column(_("Started"), "started"),
    ]


def _objectives(here: str, current: str) -> list[dict[str, Any]]:
    names = {"": lazy("All objectives"), **OBJECTIVES}
    return [
        {"label": label, "href": with_query(here, {"objective": name}), "is_current": name == current}
        for name, label in names.items()
    ]
