"""What the pages say of jobs: words for states, rows of lists, curves thinned for the screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from llmos.core import clock
from llmos.features.accounts.actor import Actor
from llmos.features.jobs.models import Job
from llmos.features.jobs.policy import can_run_jobs
from llmos.features.jobs.streams import Curve
from llmos.infra.i18n import lazy
from llmos.ui.curves import CurveChart, Line, curve_chart
from llmos.ui.filters import with_query

STATE_LABELS = {
    "waiting": lazy("Waits for another"),
    "queued": lazy("In the queue"),
    "preparing": lazy("Preparing"),
    "running": lazy("Running"),
    "succeeded": lazy("Succeeded"),
    "failed": lazy("Failed"),
    "canceled": lazy("Canceled"),
    "timed_out": lazy("Timed out"),
    "lost": lazy("Lost"),
    "released": lazy("Handed back"),
}
STATE_KINDS = {
    "waiting": "neutral",
    "queued": "neutral",
    "preparing": "info",
    "running": "accent",
    "succeeded": "success",
    "failed": "danger",
    "canceled": "neutral",
    "timed_out": "warning",
    "lost": "warning",
    "released": "neutral",
}
STATE_ICONS = {
    "waiting": "list-ordered",
    "queued": "clock",
    "preparing": "package",
    "running": "activity",
    "succeeded": "circle-check",
    "failed": "circle-x",
    "canceled": "ban",
    "timed_out": "clock",
    "lost": "triangle-alert",
    "released": "undo-2",
}


def fork_href(actor: Actor, job: Job) -> str | None:
    """The form for a job of one's own that begins as this one; visitors sign in on the way."""
    if job.kind != "recipe" and (actor.user_id is None or can_run_jobs(actor, job.namespace)):
        return None
    return with_query("/jobs/me/-/new", {"from": job.object_id, "of": job.namespace.name})


def job_href(owner: str, object_id: str) -> str:
    return f"/jobs/{quote(owner)}/{object_id}"


@dataclass(frozen=True)
class JobRow:
    """A line of a list of jobs. `share` is from 0 to 1, None where nobody knows."""

    title: str
    href: str
    owner: str
    owner_href: str
    kind: str
    state: str
    created_at: datetime
    seconds: float | None
    share: float | None
    is_public: bool

    @property
    def ran(self) -> str:
        return duration(self.seconds)

    @property
    def label(self) -> str:
        return STATE_LABELS[self.state]

    @property
    def badge(self) -> str:
        return STATE_KINDS[self.state]

    @property
    def icon(self) -> str:
        return STATE_ICONS[self.state]


def job_row(job: Job) -> JobRow:
    owner = job.namespace.name
    return JobRow(
        title=job.title or job.object_id,
        href=job_href(owner, job.object_id),
        owner=owner,
        owner_href=f"/jobs/{quote(owner)}",
        kind=job.kind,
        state=job.state,
        created_at=job.created_at,
        seconds=run_seconds(job),
        share=share_done(job),
        is_public=job.visibility == "public",
    )


def run_seconds(job: Job) -> float | None:
    if job.started_at is None:
        return None
    return max(((job.finished_at or clock.now()) - job.started_at).total_seconds(), 0.0)


def share_done(job: Job) -> float | None:
    if job.total <= 0 or job.is_over:
        return None
    return min(max(job.done / job.total, 0.0), 1.0)


def duration(seconds: float | None) -> str:
    """`42 s`, `3:05 min`, `2:04 h`."""
    if seconds is None:
        return "–"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole // 60 % 60:02d} h"


def charts_of(curves: Sequence[Curve]) -> list[CurveChart]:
    """One chart for each last word of the names, such as `train/loss` and `eval/loss`, in order of first
    appearance."""
    groups: dict[str, list[Curve]] = {}
    for curve in curves:
        if curve.points:
            groups.setdefault(curve.name.rpartition("/")[2], []).append(curve)
    return [_chart(title, members) for title, members in groups.items()]


def _chart(title: str, curves: Sequence[Curve]) -> CurveChart:
    return curve_chart(title, [Line(curve.name, curve.points) for curve in curves])


def system_charts(curves: Sequence[Curve]) -> list[CurveChart]:
    """What the machine did, in units people read: cores, GB."""
    units: dict[str, tuple[Any, float]] = {
        "system/cpu": (lazy("Cores in use"), 1),
        "system/memory": (lazy("Memory, GB"), 1e9),
        "system/gpu": (lazy("GPUs in use"), 1),
    }
    charts = []
    for curve in curves:
        if curve.name not in units or not curve.points:
            continue
        title, unit = units[curve.name]
        points = [(step, None if value is None else value / unit) for step, value in curve.points]
        charts.append(_chart(title, [Curve(title, points)]))
    return charts
