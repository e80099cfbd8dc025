"""Runs compared: curves over each other, figures side by side, what differs between their recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from fastapi import Request
from starlette.responses import Response

from llmos.core.errors import BadRequest
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import render_page
from llmos.features.jobs.comparison import FigureRow, differences, figure_row, flatten, yaml_diff
from llmos.features.jobs.models import Job
from llmos.features.jobs.pages.experiments import run_row
from llmos.features.jobs.pages.recipe_form import recipe_groups
from llmos.features.jobs.pages.views import fork_href, job_row
from llmos.features.jobs.queries import access_jobs
from llmos.features.jobs.recipes import recipe_schema
from llmos.features.jobs.streams import Curve, read_curves
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb
from llmos.ui.curves import MAX_LINES, CurveChart, Line, curve_chart, last_known
from llmos.ui.filters import with_query

CHART_POINTS = 200
MAX_CHARTS = 30


def compare_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """`run` (repeated) names jobs by their ids, at most MAX_LINES, in the order of their columns."""
    ids = list(dict.fromkeys(request.query_params.getlist("run")))[: MAX_LINES + 1]
    if len(ids) > MAX_LINES:
        raise BadRequest(
            lazy("At most %(count)s runs can be compared at a time.", count=MAX_LINES), data={"field": "run"}
        )
    jobs = access_jobs(db, actor, ids) if ids else []
    found = read_curves(db, [job.id for job in jobs], with_machine=False) if jobs else {}
    curves = [{curve.name: curve for curve in found[job.id]} for job in jobs]
    labels = [f"{number}. {job_row(job).title}"[:60] for number, job in enumerate(jobs, 1)]
    back_href = f"/jobs/{quote(jobs[0].namespace.name)}/-/experiments" if jobs else "/jobs/-/experiments"
    context = {
        "runs": [
            _run(actor, job, label, tone) for tone, (job, label) in enumerate(zip(jobs, labels, strict=True))
        ],
        "labels": labels,
        "is_live": any(not job.is_over for job in jobs),
        "charts": _charts(curves, labels),
        "figures": _figures(curves),
        "differences": differences([_fields(job) for job in jobs]),
        "defaults": _defaults(),
        "diffs": _diffs(jobs, labels),
        "recipe_count": sum(job.spec["recipe"] is not None for job in jobs),
        "back_href": back_href,
        "choose_href": with_query(back_href, {"run": ids}),
    }
    return render_page(request, actor, "jobs/compare.html", context)


def _run(actor: Actor, job: Job, label: str, tone: int) -> dict[str, Any]:
    return {
        "label": label,
        "tone": tone,
        "row": job_row(job),
        "about": run_row(job, {}),
        "hardware": job.spec["flavor"],
        "memory_bytes": job.peak_memory_bytes,
        "energy_wh": job.energy_wh,
        "results": job.results,
        "fork_href": fork_href(actor, job),
    }


def _names(curves: Sequence[Mapping[str, Curve]]) -> list[str]:
    """Names of all curves, those of evaluations first, else in order of appearance."""
    names = dict.fromkeys(name for one in curves for name in one)
    return sorted(names, key=lambda name: not name.startswith("eval/"))


def _charts(curves: Sequence[Mapping[str, Curve]], labels: Sequence[str]) -> list[CurveChart]:
    charts = []
    for name in _names(curves)[:MAX_CHARTS]:
        lines = [
            Line(label, one[name].points if name in one else (), tone)
            for tone, (label, one) in enumerate(zip(labels, curves, strict=True))
        ]
        charts.append(curve_chart(name, lines, CHART_POINTS))
    return charts


def _figures(curves: Sequence[Mapping[str, Curve]]) -> list[FigureRow]:
    return [
        figure_row(name, [last_known(one[name].points) if name in one else None for one in curves])
        for name in _names(curves)
    ]


def _fields(job: Job) -> dict[str, str]:
    """The recipe's fields, what it was run on, and the commits of its inputs."""
    inputs = {
        f"{item['type']} {item['repo']}": (item["revision"] or "")[:12]
        for item in job.spec["inputs"]
        if item["revision"]
    }
    return {**flatten(job.spec["recipe"] or {}), **inputs, "hardware": job.spec["flavor"]}


def _defaults() -> dict[str, str]:
    """What holds where a recipe does not say, for the fields that have a fixed default."""
    fields = (field for group in recipe_groups(recipe_schema()) for field in group.fields)
    return {
        field.path: flatten(field.default, field.path)[field.path] for field in fields if field.placeholder
    }


def _diffs(jobs: Sequence[Job], labels: Sequence[str]) -> list[Any]:
    """Each recipe against the first."""
    first, *others = [(job.spec["recipe"] or {}, label) for job, label in zip(jobs, labels, strict=True)] or [
        ({}, "")
    ]
    files = [yaml_diff(first[0], recipe, first[1], label) for recipe, label in others]
    return [file for file in files if file.hunks]
