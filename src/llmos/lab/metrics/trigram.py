"""A byte-trigram model: the least a trained language model has to beat.

The next byte from the two before it, each order smoothed with the one below by the method of Witten and
Bell (the more different bytes followed a context, the more weight goes to the shorter context), down to
all 256 bytes alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]


class ByteTrigram:
    """Counts of bytes after two, one and no byte; 64 MiB."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Learn from `texts`; each begins after two newlines."""
        import numpy as np

        self._three = np.zeros(1 << 24, dtype=np.uint32)
        for text in texts:
            codes = _codes(text)
            if len(codes):
                found, times = np.unique(codes, return_counts=True)
                self._three[found] += times.astype(np.uint32)
        table = self._three.reshape(256, 256, 256)
        # A context of one byte follows from those of two, but for the first bytes of texts.
        self._two: Any = table.sum(axis=0, dtype=np.int64)
        self._one: Any = self._two.sum(axis=0)
        self._after_two: Any = _followers(self._three.reshape(-1, 256))
        self._after_one: Any = _followers(self._two)

    def bits(self, text: str) -> float:
        """The bits it takes to tell `text`, over its bytes: bits per byte when divided by their number."""
        import numpy as np

        codes = _codes(text)
        if not len(codes):
            return 0.0
        context, last = codes >> 8, codes & 0xFF
        total, kinds = self._one.sum(), np.count_nonzero(self._one)
        share = (self._one[last] + kinds / 256) / (total + kinds) if total else np.full(len(codes), 1 / 256)
        share = _smooth(self._two[context & 0xFF, last], self._after_one, context & 0xFF, share)
        share = _smooth(self._three[codes], self._after_two, context, share)
        return float(-np.log2(share).sum())


def _codes(text: str) -> NDArray[np.int64]:
    """Each byte with the two before it, as one number of 24 bits."""
    import numpy as np

    plain = np.frombuffer(b"\n\n" + text.encode("utf-8", "replace"), dtype=np.uint8).astype(np.int64)
    return (plain[:-2] << 16) | (plain[1:-1] << 8) | plain[2:]


def _followers(table: Any) -> Any:
    """For each context how many bytes followed it, and how many different ones."""
    import numpy as np

    return table.sum(axis=1, dtype=np.int64), np.count_nonzero(table, axis=1)


def _smooth(counts: Any, followers: Any, context: Any, below: Any) -> Any:
    import numpy as np

    seen, kinds = followers[0][context], followers[1][context]
    mixed = (counts + kinds * below) / np.maximum(seen + kinds, 1)
    return np.where(seen > 0, mixed, below)
