"""Texts that grow, and what a forward gives for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(eq=False)
class Row:
    """A text: `ids` grow; `read` of them are in the cache, `cached` were not computed for it."""

    ids: list[int]
    owner: Any
    # All logits of its prompt are wanted, so nothing is taken from the cache.
    whole: bool = False
    read: int = 0
    cached: int = 0
    is_live: bool = True
    was_started: bool = False


@dataclass
class Step:
    """What a forward gave. `logits` [n, vocabulary] predict the next token of `rows`.

    With `scored` the row is not at its end: `logits` [n, vocabulary] are of its tokens from `first` on.
    """

    rows: list[Row]
    logits: Tensor
    scored: Row | None = None
    first: int = 0


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    most = min(len(one), len(other))
    if one[:most] == other[:most]:
        return most
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low
