"""Stacked bars: what a template draws as one SVG with its legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 1000


@dataclass(frozen=True, slots=True)
class Segment:
    """`start` and `width` count thousandths of the bar; `tone` picks the colour."""

    label: str
    size_bytes: int
    tone: str
    start: float
    width: float
    percent: float


def stack(parts: Sequence[tuple[str, int, str]], whole_bytes: int | None = None) -> list[Segment]:
    """Segments of `(label, bytes, tone)` beside each other; the bar is `whole_bytes` long (their sum)."""
    whole = max(whole_bytes or 0, sum(size for _, size, _ in parts))
    out: list[Segment] = []
    start = 0.0
    for label, size_bytes, tone in parts:
        width = WIDTH * size_bytes / whole if whole else 0.0
        percent = 100 * size_bytes / whole if whole else 0.0
        out.append(Segment(label, size_bytes, tone, round(start, 2), round(width, 2), percent))
        start += width
    return out
