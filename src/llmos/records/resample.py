"""Samples drawn anew, again and again: how far a figure would move with others of the same number.

Works on the per-sample numbers of `llmos.records.aggregates`; numpy is imported when asked.

Whoever has these numbers and the seed draws the same samples, on any machine and with any numpy: of its
generator only the raw bits of PCG64 are used, which numpy promises not to change. Signatures of metrics
name this way of drawing, `DRAWN_BY`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from llmos.records.aggregates import FORMULAS, formula_of

ROUNDS = 1000
LEVEL = 0.95
DRAWN_BY = f"ci:boot{ROUNDS}/pcg64"
# More samples than this are drawn in groups: the interval is the same, the work is not.
MOST_GROUPS = 2000
# The spread of fewer says nothing.
FEWEST = 8

Rows = Sequence[Mapping[str, float]]


class Draws:
    """The same drawn samples for every table of `count` rows: `sums` gives those of each round."""

    def __init__(self, count: int, seed: int) -> None:
        import numpy as np

        self.groups = min(count, MOST_GROUPS)
        bits = np.random.PCG64(seed)
        self._group = np.argsort(bits.random_raw(count), kind="stable") % self.groups
        drawn = self._below(bits.random_raw(ROUNDS * self.groups)).reshape(ROUNDS, self.groups)
        places = drawn + np.arange(ROUNDS, dtype=np.int64)[:, None] * self.groups
        times = np.bincount(places.ravel(), minlength=ROUNDS * self.groups)
        self._weights = times.reshape(ROUNDS, self.groups).astype(float)
        self.counts = self._weights @ np.bincount(self._group, minlength=self.groups)

    def _below(self, raw: Any) -> Any:
        """The upper half of each 64 bits as a number under `groups`."""
        import numpy as np

        return ((raw >> np.uint64(32)) * np.uint64(self.groups) >> np.uint64(32)).astype(np.int64)

    def sums(self, table: Any) -> Any:
        import numpy as np

        grouped = np.zeros((self.groups, table.shape[1]))
        np.add.at(grouped, self._group, table)
        return self._weights @ grouped


def keys_of(name: str, rows: Rows) -> list[str]:
    """The keys under which the metric `name` keeps its numbers; raises ValueError when there is none."""
    keys = sorted({key for row in rows for key in row if key == name or key.startswith(f"{name}.")})
    if not keys:
        raise ValueError(f"No sample has a number of {name}.")
    return keys


def table_of(keys: Sequence[str], rows: Rows) -> Any:
    """A row a sample, a column a key; what a sample does not have is 0."""
    import numpy as np

    return np.array([[row.get(key, 0.0) for key in keys] for row in rows], dtype=float)


def figures(name: str, formula: str, keys: Sequence[str], sums: Any, counts: Any) -> Any:
    """The figure of each row of sums; raises KeyError for a formula that is not known."""
    import numpy as np

    make = FORMULAS[formula]
    short = ["" if key == name else key[len(name) + 1 :] for key in keys]
    pairs = zip(sums.tolist(), counts.tolist(), strict=True)
    return np.array([make(dict(zip(short, row, strict=True)), count) for row, count in pairs])


def ends(drawn: Any) -> tuple[float, float]:
    """The ends of the 95 % interval."""
    import numpy as np

    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def interval(name: str, formula: str, rows: Rows, *, seed: int = 0) -> tuple[float | None, float | None]:
    """The ends of the 95 % interval of a metric; None for both when there are fewer than 8 samples.

    A share of right and wrong that is 0 or 1 gets Wilson's interval: where all samples agree a bootstrap
    has no width, and ten right out of ten still prove no certainty.
    """
    if len(rows) < FEWEST:
        return None, None
    keys = keys_of(name, rows)
    table = table_of(keys, rows)
    draws = Draws(len(rows), seed)
    low, high = ends(figures(name, formula, keys, draws.sums(table), draws.counts))
    if formula == "mean" and low == high and low in (0.0, 1.0) and set(table[:, 0]) == {low}:
        return _wilson(low, len(rows))
    return low, high


def is_drawn_here(signature: str) -> bool:
    """Whether the interval of a metric with this signature was drawn as `interval` does."""
    return DRAWN_BY in signature.split("|")


def pseudo_values(name: str, signature: str, rows: Rows) -> list[float]:
    """A number for each sample, their mean about the figure: n times it less n - 1 times that of the rest.

    With these, the jackknife's, figures that are no mean (bits per byte, BLEU) can be compared sample by
    sample as means are. Standard library only. Raises KeyError for a formula that is not known.
    """
    formula = FORMULAS[formula_of(signature)]
    keys = keys_of(name, rows)
    short = {key: "" if key == name else key[len(name) + 1 :] for key in keys}
    sums = {short[key]: math.fsum(row.get(key, 0.0) for row in rows) for key in keys}
    count = len(rows)
    figure = formula(sums, count)
    if count == 1:
        return [figure]
    found = []
    for row in rows:
        rest = dict(sums)
        for key in row.keys() & short.keys():
            rest[short[key]] -= row[key]
        found.append(count * figure - (count - 1) * formula(rest, count - 1))
    return found


def _wilson(share: float, n: int) -> tuple[float, float]:
    z2 = 1.959963984540054**2
    middle, width = share + z2 / (2 * n), math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n)))
    return max(0.0, (middle - width) / (1 + z2 / n)), min(1.0, (middle + width) / (1 + z2 / n))
