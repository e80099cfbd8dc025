"""Curves of training runs as one picture: points of any steps laid on a common grid, thinned for a screen."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from llmos.ui.charts import is_known
from llmos.ui.filters import figure
from llmos.ui.views import Series

MAX_POINTS = 400
# Beyond as many series colours repeat.
MAX_LINES = 8


@dataclass(frozen=True)
class Line:
    """A curve: `points` in order of step, None where a value is not finite. `tone` picks its colour."""

    label: str
    points: Sequence[tuple[int, float | None]]
    tone: int | None = None


@dataclass(frozen=True)
class CurveChart:
    """What `ui.line_chart` takes; `last` says the last value of each line in words."""

    title: str
    labels: Sequence[int]
    series: Sequence[Series]
    last: str


def curve_chart(title: str, lines: Sequence[Line], max_points: int = MAX_POINTS) -> CurveChart:
    """Lines over each other. Between two places of the grid the last known value counts, so that rare points,
    as of an evaluation, stay."""
    grid = _thin(sorted({step for line in lines for step, _ in line.points}), max_points)
    series = [Series(line.label, _on_grid(line.points, grid), line.tone) for line in lines]
    said = ((line.label, last_known(line.points)) for line in lines)
    last = ", ".join(f"{label} {figure(value)}" for label, value in said if value is not None)
    return CurveChart(title, grid, series, last)


def last_known(points: Sequence[tuple[int, float | None]]) -> float | None:
    """The value of the last point that has one."""
    return next((value for _, value in reversed(points) if is_known(value)), None)


def _on_grid(points: Sequence[tuple[int, float | None]], grid: Sequence[int]) -> list[float | None]:
    values: list[float | None] = [None] * len(grid)
    for step, value in points:
        if is_known(value):
            values[bisect_left(grid, step)] = value
    return values


def _thin(steps: list[int], max_points: int) -> list[int]:
    """At most `max_points` of them, evenly, with the last."""
    if len(steps) <= max_points:
        return steps
    stride = len(steps) / max_points
    return [steps[int((number + 1) * stride) - 1] for number in range(max_points - 1)] + steps[-1:]
