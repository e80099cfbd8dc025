"""Geometry of charts drawn on the server: SVG paths on a plane that CSS stretches.

The plane is WIDTH x HEIGHT units; axis words stand outside it as HTML, so that nothing is distorted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

from llmos.ui.views import Series

WIDTH = 600
HEIGHT = 100
MAX_TABLE_CELLS = 400
_STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    label: str
    value: float


@dataclass(frozen=True)
class Plot:
    """`top` and `bottom` are the values at the edges; `paths` has one SVG path per series."""

    top: float
    bottom: float
    bars: Sequence[Bar] = ()
    paths: Sequence[str] = ()


@dataclass(frozen=True)
class ScatterPoint:
    """A thing at a place; `tone` picks its colour."""

    label: str
    x: float
    y: float
    tone: int = 0


@dataclass(frozen=True)
class ScatterPlot:
    """`paths` are marks by tone; `left` and `right` the values of x at the edges."""

    top: float
    bottom: float
    left: float
    right: float
    paths: Sequence[tuple[int, str]]


def scatter_plot(points: Sequence[ScatterPoint]) -> ScatterPlot:
    """Marks over a logarithmic x axis; points whose x is not above zero are left out."""
    known = [point for point in points if point.x > 0 and math.isfinite(point.x) and math.isfinite(point.y)]
    low, high = min((p.y for p in known), default=0.0), max((p.y for p in known), default=1.0)
    left, right = min((p.x for p in known), default=1.0), max((p.x for p in known), default=10.0)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    if right <= left:
        left, right = left / 2, right * 2
    width = math.log(right / left)
    marks: dict[int, list[str]] = {}
    for point in known:
        x = round(WIDTH * math.log(point.x / left) / width, 1)
        y = round(HEIGHT - HEIGHT * (point.y - low) / (high - low), 2)
        marks.setdefault(point.tone, []).append(f"M{x:g} {y:g}h0")
    return ScatterPlot(
        high, low, left, right, [(tone, "".join(path)) for tone, path in sorted(marks.items())]
    )


def bar_plot(labels: Sequence[str], values: Sequence[float]) -> Plot:
    """Bars from zero up; negative values are drawn as zero."""
    top = nice_ceiling(max(values, default=0))
    step = WIDTH / max(len(values), 1)
    gap = min(step * 0.25, 4)
    bars = []
    for position, (label, value) in enumerate(zip(labels, values, strict=True)):
        height = HEIGHT * max(value, 0) / top
        left = position * step + gap / 2
        bars.append(
            Bar(
                round(left, 2),
                round(HEIGHT - height, 2),
                round(step - gap, 2),
                round(height, 2),
                label,
                value,
            )
        )
    return Plot(top, 0, bars)


def line_plot(
    series: Sequence[Series], labels: Sequence[str | float] = (), *, from_zero: bool = False
) -> Plot:
    """A path per series, past values that are None or not finite: to scale where the labels are numbers
    that grow, else over equal steps."""
    known = [value for line in series for value in line.values if is_known(value)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    low = min(low, 0.0) if from_zero else low
    if high <= low:
        low, high = low - 0.5, high + 0.5
    places = _places(labels, max((len(line.values) for line in series), default=0))
    return Plot(high, low, paths=[_path(line.values, places, low, high) for line in series])


def _places(labels: Sequence[str | float], count: int) -> list[float]:
    """Where on the plane each point stands, from the left."""
    numbers = [label for label in labels if isinstance(label, int | float)]
    if len(numbers) == count > 1 and numbers[-1] > numbers[0]:
        return [WIDTH * (number - numbers[0]) / (numbers[-1] - numbers[0]) for number in numbers]
    step = WIDTH / max(count - 1, 1)
    return [position * step for position in range(count)]


def table_rows(row_count: int, series_count: int) -> list[int]:
    """Which rows of a chart's numbers are shown: all, or evenly taken ones with the last."""
    limit = max(MAX_TABLE_CELLS // max(series_count, 1), 2)
    if row_count <= limit:
        return list(range(row_count))
    return [int(number * (row_count - 1) / (limit - 1)) for number in range(limit)]


def spark_path(values: Sequence[float | None]) -> str:
    """The path of a small line without axes, from zero."""
    return line_plot([Series("", values)], from_zero=True).paths[0]


def is_known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def nice_ceiling(value: float) -> float:
    """The next round number, for the top of an axis; at least 1."""
    if value <= 1:
        return 1
    size: float = 10.0 ** math.floor(math.log10(value))
    return next(size * step for step in _STEPS if value <= size * step * 1.000001)


def _path(values: Sequence[float | None], places: Sequence[float], low: float, high: float) -> str:
    parts: list[str] = []
    for place, value in zip(places, values, strict=False):
        if value is None or not math.isfinite(value):
            continue
        x = round(place, 1)
        y = round(HEIGHT - HEIGHT * (value - low) / (high - low), 2)
        parts.append(f"{'L' if parts else 'M'}{x:g} {y:g}")
    # A lone point would be invisible: a line of no length has round ends.
    return " ".join(parts) + ("h0" if len(parts) == 1 else "")
