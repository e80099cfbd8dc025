"""Rows of the report: ours, theirs, the ratio, the target."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Row:
    """`ratio` is ours/theirs; `at_least` or `at_most` is the target for it; none: to know, not to meet."""

    name: str
    ours: str
    theirs: str
    ratio: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool:
        if self.at_least is not None:
            return self.ratio >= self.at_least
        return self.at_most is None or self.ratio <= self.at_most

    @property
    def target(self) -> str:
        if self.at_least is not None:
            return f">= {self.at_least}"
        return f"<= {self.at_most}" if self.at_most is not None else ""


def print_rows(rows: list[Row]) -> None:
    print(f"\n{platform.platform()}, Python {platform.python_version()}\n")
    width = max(len(row.name) for row in rows)
    print(f"{'what':{width}}  {'ours':>14}  {'beside':>26}  {'ratio':>7}  target")
    for row in rows:
        mark = "ok  " if row.met else "MISS"
        print(
            f"{row.name:{width}}  {row.ours:>14}  {row.theirs:>26}  {row.ratio:7.2f}  {row.target:8} {mark}"
        )


def as_json(rows: list[Row]) -> str:
    return json.dumps([asdict(row) | {"met": row.met} for row in rows], indent=1)
