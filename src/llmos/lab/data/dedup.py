"""Documents that were seen before, to the letter or nearly.

Near copies are found by MinHash over shingles of characters, which serves Chinese and English alike:
64 hashes in 16 bands of 4, so that a pair of similarity 0.8 meets in a band with a chance of 0.9998,
one of 0.3 with 0.12; a meeting counts when the two signatures agree in the wanted share.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Dedup = Literal["none", "exact", "near"]

HASHES = 64
BANDS = 16
SHINGLE_CHARS = 7
_BASE = 0x9E3779B97F4A7C15
_BLANKS = re.compile(r"\W+")


class Deduplicator:
    """Remembers documents; per document some 100 bytes for exact copies, 3 kB for near ones."""

    def __init__(self, mode: Dedup, threshold: float = 0.8) -> None:
        """`threshold`: the estimated Jaccard similarity of shingles from which a document is a copy."""
        self.mode = mode
        self.threshold = threshold
        self._digests: set[bytes] = set()
        self._bands: list[dict[bytes, list[int]]] = [{} for _ in range(BANDS)]
        self._signatures: list[NDArray[np.uint64]] = []

    def copy_of(self, text: str) -> str | None:
        """ "exact" or "near" if a document like `text` was shown before; otherwise remembers it."""
        if self.mode == "none":
            return None
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest in self._digests:
            return "exact"
        self._digests.add(digest)
        return "near" if self.mode == "near" and self._has_near(text) else None

    def _has_near(self, text: str) -> bool:
        signature = signature_of(text)
        keys = [band.tobytes() for band in signature.reshape(BANDS, -1)]
        met = {n for band, key in zip(self._bands, keys, strict=True) for n in band.get(key, ())}
        if any(similarity(signature, self._signatures[n]) >= self.threshold for n in met):
            return True
        number = len(self._signatures)
        self._signatures.append(signature)
        for band, key in zip(self._bands, keys, strict=True):
            band.setdefault(key, []).append(number)
        return False


def signature_of(text: str) -> NDArray[np.uint64]:
    """The MinHash signature of `text`: case, blanks and punctuation aside.

    One hash function, its range cut into 64 bins, the least value of each bin ("one permutation
    hashing"): the cost does not grow with the number of hashes. An empty bin, as short texts leave
    some, takes the value of the next full one and how far off that is, which keeps the estimate of
    the similarity unbiased ("densification by rotation", Shrivastava and Li 2014).
    """
    import numpy as np

    values = _shingles(text)
    edges = np.arange(HASHES, dtype=np.uint64) << np.uint64(64 - HASHES.bit_length() + 1)
    first = np.searchsorted(values, edges)
    full = np.flatnonzero(np.diff(np.append(first, len(values))))
    bins = np.arange(HASHES)
    source = full[np.searchsorted(full, bins) % len(full)]
    distance = ((source - bins) % HASHES).astype(np.uint64)
    inside = values[first[source]] & np.uint64((1 << 52) - 1)
    signature: NDArray[np.uint64] = inside + (distance << np.uint64(52))
    return signature


def similarity(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
    """The estimated Jaccard similarity of two documents, 0 to 1."""
    return float((one == other).mean())


def _shingles(text: str) -> NDArray[np.uint64]:
    import numpy as np

    plain = _BLANKS.sub(" ", text.casefold()).strip() or " "
    points = np.frombuffer(plain.encode("utf-32-le", "replace"), dtype="<u4").astype(np.uint64)
    width = min(SHINGLE_CHARS, len(points))
    total = np.zeros(len(points) - width + 1, dtype=np.uint64)
    for offset in range(width):
        total = total * np.uint64(_BASE) + points[offset : len(points) - width + 1 + offset]
    return np.sort(_mix(total))


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread every bit over the word (the finaliser of SplitMix64), so that the bins fill evenly."""
    import numpy as np

    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
