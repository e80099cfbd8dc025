"""Boards as pictures: score against size and energy, and how the best has grown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from llmos.features.accounts.actor import Actor
from llmos.features.evals.boards import BoardQuery, BoardRow, list_board
from llmos.features.evals.models import SIGNED, Benchmark
from llmos.ui.charts import ScatterPoint
from llmos.ui.views import Series

MAX_POINTS = 400


@dataclass(frozen=True)
class Plots:
    """What the page of plots draws; empty lists where nothing is known."""

    size: Sequence[ScatterPoint]
    joules: Sequence[ScatterPoint]
    dates: Sequence[str]
    best: Sequence[Series]
    shown: int


def board_plots(db: Session, actor: Actor, dataset_id: int, query: BoardQuery, task: Benchmark) -> Plots:
    """The best MAX_POINTS rows of a board as points; signed ones have another tone."""
    rows = list_board(db, actor, dataset_id, replace(query, sort="score"), limit=MAX_POINTS).rows
    dates, best = _records(rows)
    return Plots(
        size=[_point(row, row.parameters) for row in rows if row.parameters],
        joules=[_point(row, row.joules_per_token) for row in rows if row.joules_per_token],
        dates=dates,
        best=[Series(task.metric, best)],
        shown=len(rows),
    )


def _point(row: BoardRow, x: float | None) -> ScatterPoint:
    return ScatterPoint(row.model_name, float(x or 0), row.value, 0 if row.evidence >= SIGNED else 7)


def _records(rows: Sequence[BoardRow]) -> tuple[list[str], list[float | None]]:
    """The days on which a new best value came, and the value."""
    dates: list[str] = []
    values: list[float | None] = []
    best = float("-inf")
    for row in sorted(rows, key=lambda row: row.created_at):
        if row.order_value <= best:
            continue
        best = row.order_value
        day = row.created_at.date().isoformat()
        if dates and dates[-1] == day:
            values[-1] = row.value
        else:
            dates.append(day)
            values.append(row.value)
    return dates, values
