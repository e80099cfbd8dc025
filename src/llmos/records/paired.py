"""Whether two systems differ on the samples both answered.

Arithmetic of per-sample numbers alone, so that the server may ask it about two records without the
libraries that made them. numpy is imported when asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from llmos.records.aggregates import formula_of
from llmos.records.resample import LEVEL, ROUNDS, Draws, ends, figures, keys_of, table_of

Method = Literal["mcnemar", "bootstrap"]


@dataclass(frozen=True)
class Paired:
    """`difference` is the first system's figure less the second's, `low` to `high` its 95 % interval.

    `p_value`: how likely a difference at least as large were by chance if both were alike; two-sided.
    """

    difference: float
    low: float
    high: float
    p_value: float
    method: Method
    n: int

    @property
    def is_tie(self) -> bool:
        """Whether these samples do not tell the two apart (at 5 %)."""
        return self.p_value >= 1 - LEVEL


def compare(
    name: str,
    signature: str,
    one: Sequence[Mapping[str, float]],
    other: Sequence[Mapping[str, float]],
    *,
    seed: int = 0,
) -> Paired:
    """Two systems by the `scores` of the same samples in the same order.

    The interval is a bootstrap in which both are given the same drawn samples. The p-value is that of
    McNemar's exact test where every number is 0 or 1, else that of the bootstrap, shifted to no
    difference. Raises ValueError for rows of different number or none, KeyError for a formula that is
    not known.
    """
    import numpy as np

    if not one or len(one) != len(other):
        raise ValueError(f"Paired tests need the same samples; there are {len(one)} and {len(other)}.")
    formula = formula_of(signature)
    keys = keys_of(name, (*one, *other))
    tables = [table_of(keys, rows) for rows in (one, other)]
    whole = [figures(name, formula, keys, t.sum(axis=0)[None], np.array([float(len(t))])) for t in tables]
    draws = Draws(len(one), seed)
    drawn = [figures(name, formula, keys, draws.sums(table), draws.counts) for table in tables]
    gaps = drawn[0] - drawn[1]
    difference = float(whole[0][0] - whole[1][0])
    low, high = ends(gaps)
    if len(keys) == 1 and all(np.isin(table, (0.0, 1.0)).all() for table in tables):
        first, second = tables[0][:, 0], tables[1][:, 0]
        p_value = mcnemar(int((first > second).sum()), int((first < second).sum()))
        return Paired(difference, low, high, p_value, "mcnemar", len(one))
    beyond = int((np.abs(gaps - gaps.mean()) >= abs(difference) - 1e-12).sum())
    p_value = (beyond + 1) / (ROUNDS + 1)
    return Paired(difference, low, high, p_value, "bootstrap", len(one))


def bands(ties: Sequence[bool]) -> list[int]:
    """The rank that each row of a sorted board is shown with: a row that ties with the one above shares its.

    `ties[i]` says whether row `i + 1` ties with row `i`. [True, False] gives 1, 1, 3.
    """
    ranks = [1]
    for at, tie in enumerate(ties, 2):
        ranks.append(ranks[-1] if tie else at)
    return ranks


def mcnemar(wins: int, losses: int) -> float:
    """McNemar's test, exact and two-sided, over the samples on which two systems differ.

    Of these each wins half by chance; the p-value is how likely a split this uneven were.
    """
    differing, fewer = wins + losses, min(wins, losses)
    if not differing:
        return 1.0
    logs = (
        math.lgamma(differing + 1)
        - math.lgamma(k + 1)
        - math.lgamma(differing - k + 1)
        - differing * math.log(2)
        for k in range(fewer + 1)
    )
    return min(1.0, 2 * math.fsum(math.exp(x) for x in logs))
