"""Words of many texts as numbers, and runs of them, without a loop over words.

A word is a run of letters and digits, case aside; a Chinese character or kana is one by itself. Hashes
are polynomials over 64 bits, taken as differences of running sums, so that a text is walked once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]
    Ints = NDArray[np.int64]

RUN = 6
_BASE = 0x9E3779B97F4A7C15
_ALONE = ((0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3134F))
_TO = 0x110000


@dataclass(frozen=True)
class Words:
    """The words of several texts, one after the other; `counts` says how many each has."""

    hashes: Hashes
    text_of: Ints
    counts: Ints

    def runs(self) -> tuple[Hashes, Ints]:
        """The hash of every six words in a row of one text, and which text that is."""
        import numpy as np

        size = len(self.hashes) - RUN + 1
        if size <= 0:
            return np.empty(0, np.uint64), np.empty(0, np.int64)
        total = self.hashes[:size].copy()
        for offset in range(1, RUN):
            total *= np.uint64(_BASE)
            total += self.hashes[offset : size + offset]
        inside = self.text_of[:size] == self.text_of[RUN - 1 :]
        return mix(total[inside]), self.text_of[:size][inside]

    def whole(self) -> Hashes:
        """The hash of each text by all its words."""
        import numpy as np

        ends = np.cumsum(self.counts)
        return mix(spans(self.hashes, ends - self.counts, ends))


class WordHasher:
    """Cuts texts into hashed words."""

    def words(self, texts: list[str]) -> Words:
        """The words of each text; texts are told apart by a character that is in no word."""
        import numpy as np

        joined = "\x00".join(text.replace("\x00", " ") for text in texts).lower()
        points = np.frombuffer(joined.encode("utf-32-le", "replace"), dtype="<u4")
        kinds = _kinds()[np.minimum(points, _TO - 1)]
        inside, alone = kinds > 0, kinds == 2
        # A word starts where letters begin, and at every character that stands alone and after it.
        before_inside = np.empty_like(inside)
        before_alone = np.empty_like(alone)
        before_inside[:1] = before_alone[:1] = False
        before_inside[1:], before_alone[1:] = inside[:-1], alone[:-1]
        starts = np.flatnonzero(inside & (~before_inside | alone | before_alone))
        stops = np.append(starts[1:], len(points))
        # It ends where the next starts or letters end, whichever comes first.
        outside = np.flatnonzero(~inside)
        after = np.append(outside, len(points))[np.searchsorted(outside, starts)]
        ends = np.minimum(stops, after)
        values = points.astype(np.uint64)
        hashes = mix(spans(values, starts, ends))
        borders = np.flatnonzero(points == 0)
        text_of = np.searchsorted(borders, starts)
        return Words(hashes, text_of, np.bincount(text_of, minlength=len(texts)))


def spans(values: Hashes, starts: Ints, ends: Ints) -> Hashes:
    """The polynomial of each stretch of `values`, the same wherever it stands."""
    import numpy as np

    powers, inverses = _powers(len(values))
    sums = np.zeros(len(values) + 1, dtype=np.uint64)
    np.cumsum((values + np.uint64(1)) * powers[: len(values)], out=sums[1:])
    found: Hashes = (sums[ends] - sums[starts]) * inverses[np.minimum(starts, len(inverses) - 1)]
    return found


def mix(values: Hashes) -> Hashes:
    """Spread every bit over the word (the finaliser of SplitMix64)."""
    import numpy as np

    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


_held: list[Any] = []


def _powers(count: int) -> tuple[Hashes, Hashes]:
    """Powers of the base and of its inverse modulo 2**64, at least `count` of them."""
    import numpy as np

    if not _held or len(_held[0]) < count + 1:
        size = max(1 << 16, 1 << (count + 1).bit_length())
        inverse = pow(_BASE, -1, 1 << 64)
        _held[:] = [np.cumprod(_ladder(base, size), dtype=np.uint64) for base in (_BASE, inverse)]
    return _held[0], _held[1]


def _ladder(base: int, size: int) -> Hashes:
    import numpy as np

    ladder = np.full(size, base, dtype=np.uint64)
    ladder[0] = 1
    return ladder


@cache
def _kinds() -> NDArray[np.uint8]:
    """Of every character: 0 no part of a word, 1 part of one, 2 a word by itself."""
    import numpy as np

    kinds = np.zeros(_TO, dtype=np.uint8)
    kinds[[point for point in range(0x20000) if chr(point).isalnum()]] = 1
    for low, high in _ALONE:
        kinds[low : high + 1] = 2
    return kinds
