"""Curves of a run as an SVG picture, drawn without a plotting library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 720, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 34, 44
_COLOURS = ("#2563eb", "#d97706", "#059669", "#db2777", "#7c3aed", "#475569")
MAX_POINTS = 400


def curve_svg(
    curves: Mapping[str, Points], *, title: str, x_label: str = "step", y_label: str = "loss"
) -> str:
    """A line for each curve over the same axes; readable on white and on dark pages.

    Points that are no finite numbers are left out; long curves are thinned to the mean of their parts.
    """
    lines = {name: thinned(_finite(points)) for name, points in curves.items()}
    lines = {name: points for name, points in lines.items() if points}
    xs = [x for points in lines.values() for x, _ in points] or [0.0, 1.0]
    ys = [y for points in lines.values() for _, y in points] or [0.0, 1.0]
    x_ticks, y_ticks = ticks(min(xs), max(xs)), ticks(min(ys), max(ys))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        *_axes(x_ticks, y_ticks, x_label, y_label),
    ]
    for number, (name, points) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{_x(x, x_ticks):.1f},{_y(y, y_ticks):.1f}" for x, y in points)
        if len(points) == 1:
            x, y = path.split(",")
            parts.append(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>')
        else:
            parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        at = _LEFT + 8 + 130 * number
        parts.append(f'<rect x="{at}" y="12" width="12" height="3" fill="{colour}"/>')
        parts.append(f'<text x="{at + 18}" y="18" fill="#111827">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most 400 points: means of equal parts, and the last point as it is."""
    if len(points) <= MAX_POINTS:
        return points
    size = len(points) / (MAX_POINTS - 1)
    parts = [
        points[int(n * size) : max(int((n + 1) * size), int(n * size) + 1)] for n in range(MAX_POINTS - 1)
    ]
    means = [(sum(x for x, _ in p) / len(p), sum(y for _, y in p) / len(p)) for p in parts]
    return [*means, points[-1]]


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, some `count` of them."""
    if high <= low:
        low, high = low - 0.5, low + 0.5
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(n * step, 10) for n in range(first, last + 1)]


def _finite(points: Points) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]


def _x(value: float, marks: list[float]) -> float:
    return _LEFT + (value - marks[0]) / (marks[-1] - marks[0]) * (_WIDTH - _LEFT - _RIGHT)


def _y(value: float, marks: list[float]) -> float:
    return _HEIGHT - _BOTTOM - (value - marks[0]) / (marks[-1] - marks[0]) * (_HEIGHT - _TOP - _BOTTOM)


def _axes(x_ticks: list[float], y_ticks: list[float], x_label: str, y_label: str) -> list[str]:
    parts = []
    for mark in y_ticks:
        y = f"{_y(mark, y_ticks):.1f}"
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y}" dy="4" text-anchor="end" fill="#4b5563">{mark:g}</text>')
    base = _HEIGHT - _BOTTOM
    for mark in x_ticks:
        x = f"{_x(mark, x_ticks):.1f}"
        parts.append(f'<text x="{x}" y="{base + 18}" text-anchor="middle" fill="#4b5563">{mark:g}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle" fill="#4b5563">{escape(x_label)}</text>'
    )
    height = (_TOP + base) / 2
    parts.append(
        f'<text transform="translate(14 {height}) rotate(-90)" text-anchor="middle" fill="#4b5563">'
        f"{escape(y_label)}</text>"
    )
    return parts
