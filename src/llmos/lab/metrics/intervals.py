"""How far a figure would move with another sample of the same size: bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

ROUNDS = 1000
LEVEL = 0.95
# More documents than this are drawn in groups: the interval is the same, the work is not.
MOST_GROUPS = 2000
# The spread of fewer says nothing.
FEWEST = 8


@dataclass(frozen=True)
class Estimate:
    """A figure and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def named(self, name: str) -> dict[str, float]:
        """As metrics are kept: `name`, `name_low`, `name_high`."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


def ratio(numerators: Sequence[float], denominators: Sequence[float], *, seed: int = 0) -> Estimate:
    """The sum of one over the sum of the other, documents drawn anew (bits over bytes, right over all).

    Raises ValueError when nothing was measured.
    """
    import numpy as np

    above, below = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    if len(above) != len(below) or not below.sum() > 0:
        raise ValueError("Nothing was measured: the held-out part is empty.")
    groups = min(len(above), MOST_GROUPS)
    group = np.random.Generator(np.random.PCG64(seed)).permutation(len(above)) % groups
    above, below = (np.bincount(group, weights=x, minlength=groups) for x in (above, below))
    weights = _draws(groups, seed)
    return _estimate(above.sum() / below.sum(), (weights @ above) / np.maximum(weights @ below, 1e-12))


def bits_per_byte(losses: Sequence[float], sizes_bytes: Sequence[int], *, seed: int = 0) -> Estimate:
    """From the summed loss (natural logarithm) and the length in UTF-8 bytes of each document.

    Unlike the loss a token it can be compared between models of different tokenizers.
    """
    return ratio([loss / math.log(2) for loss in losses], list(sizes_bytes), seed=seed)


def perplexity(losses: Sequence[float], tokens: Sequence[int], *, seed: int = 0) -> Estimate:
    """The exponential of the mean loss a token; only for models of the same tokenizer."""
    found = ratio(losses, list(tokens), seed=seed)
    return Estimate(*(math.exp(min(x, 700.0)) for x in (found.value, found.low, found.high)))


def named_ratio(name: str, numerators: Sequence[float], denominators: Sequence[float]) -> dict[str, float]:
    """`ratio` as metrics are kept; without an interval where there are too few examples for one."""
    if len(numerators) >= FEWEST:
        return ratio(numerators, denominators).named(name)
    return {name: sum(numerators) / max(sum(denominators), 1e-12)}


def _draws(count: int, seed: int) -> Any:
    """How often each of `count` documents is drawn, for each round."""
    import numpy as np

    rng = np.random.Generator(np.random.PCG64(seed))
    return rng.multinomial(count, np.full(count, 1 / count), size=ROUNDS)


def _estimate(value: float, drawn: np.ndarray[Any, Any]) -> Estimate:
    import numpy as np

    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(value), float(low), float(high))
