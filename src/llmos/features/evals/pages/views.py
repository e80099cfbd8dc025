"""Results as pages show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llmos.features.evals.boards import BoardRow
from llmos.features.evals.models import COMMUNITY, REPRODUCED, SIGNED
from llmos.infra.i18n import lazy
from llmos.ui.filters import figure

EVIDENCE_NAMES = ("community", "reported", "signed", "reproduced")
MAX_TIES = 2000


@dataclass(frozen=True)
class Evidence:
    """How a result is marked: `kind` and `icon` of its badge, and what it means in a sentence."""

    name: str
    label: str
    kind: str
    icon: str
    meaning: str


_EVIDENCE = (
    Evidence(
        "community", lazy("Community"), "neutral", "git-pull-request",
        lazy("Somebody offers this value in an open pull request. Nobody has checked it."),
    ),
    Evidence(
        "reported", lazy("Self-reported"), "neutral", "user",
        lazy("The authors of the model say so. Nobody has checked it."),
    ),
    Evidence(
        "signed", lazy("Signed"), "info", "key-round",
        lazy("A record names model, data and answers by digest, and its signature holds."),
    ),
    Evidence(
        "reproduced", lazy("Reproduced"), "success", "circle-check",
        lazy("Others who do not depend on the first have run the same and got the same."),
    ),
)  # fmt: skip


def evidence_of(level: int) -> Evidence:
    return _EVIDENCE[min(max(level, COMMUNITY), REPRODUCED)]


def is_signed(level: int) -> bool:
    return level >= SIGNED


def interval(low: float | None, high: float | None) -> str:
    """`0.71–0.83`; empty where it is not known."""
    return f"{figure(low)}–{figure(high)}" if low is not None and high is not None else ""


def model_href(row: BoardRow) -> str:
    return f"/{row.model_name}/evaluation"


def set_bands(rows: Sequence[BoardRow], compared: dict[tuple[str, str], bool] | None = None) -> None:
    """Give rows in order of score the ranks they are shown with: whoever cannot be told from the row above
    shares its rank. `compared` says of pairs of records whether a paired test calls them a tie; where
    none was made, overlapping intervals do."""
    known = compared or {}
    first = 0
    for place, row in enumerate(rows):
        if place == 0:
            first = row.rank
            continue
        above = rows[place - 1]
        tie = known.get((above.record_id, row.record_id))
        if not (is_overlapping(above, row) if tie is None else tie):
            first = row.rank
        row.rank = first
    for place, row in enumerate(rows):
        shares_above = place > 0 and rows[place - 1].rank == row.rank
        shares_below = place + 1 < len(rows) and rows[place + 1].rank == row.rank
        row.band = "tie" if shares_above or shares_below else ""


def is_overlapping(one: BoardRow, other: BoardRow) -> bool:
    """Whether the intervals of two rows overlap; without intervals only equal values do."""
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return one.value == other.value
    return one.low <= other.high and other.low <= one.high


def row_json(row: BoardRow) -> dict[str, Any]:
    """A row as exports hold it."""
    return {
        "rank": row.rank,
        "model": row.model_name,
        "metric": row.metric,
        "value": row.value,
        "low": row.low,
        "high": row.high,
        "n": row.n,
        "evidence": EVIDENCE_NAMES[row.evidence],
        "reproduced_by": row.confirmations,
        "record_id": row.record_id,
        "revision": row.revision,
        "parameters": row.parameters,
        "precision": row.precision,
        "license": row.license,
        "open_data": row.has_open_data,
        "energy_wh": row.energy_wh,
        "joules_per_token": row.joules_per_token,
        "wall_s": row.wall_s,
        "items_in_training_data": row.found_items,
        "value_without_them": row.clean_value,
        "created_at": row.created_at.isoformat(),
    }
