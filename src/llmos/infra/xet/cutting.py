"""Cut bytes into chunks at the places where clients cut them, so that equal stretches are shared.

A chunk ends where a rolling hash of the last 64 bytes begins with 16 zero bits, but not before 8 KiB
and at 128 KiB at the latest (Xet protocol, content-defined chunking). The hash of a window is a sum
of shifted numbers, one a byte, and is made for all places of a block at once by doubling the window
six times.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from llmos.infra.xet.arrays import np
from llmos.infra.xet.chunks import MAX_CHUNK_RAW_BYTES
from llmos.infra.xet.gear import gear_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WINDOW = 64
# The window must lie behind what clients skip of each chunk: 8 KiB less the window and one byte.
_MIN_CUT = 8 * 1024 - 1
_FIRST_NONZERO_HEAD = 1 << 48
_READ_BYTES = 1024 * 1024
# Eight times as much must fit into the processor's second cache.
_BLOCK_BYTES = 32 * 1024


def iter_chunks(source: BinaryIO) -> Iterator[bytes]:
    """The chunks of a file read from here to its end; about 50 MB/s."""
    data = b""  # from the start of the next chunk
    ends: list[int] = []
    while True:
        piece = source.read(_READ_BYTES)
        seen = max(len(data) - _WINDOW + 1, 0)
        data += piece
        ends += [seen + end for end in _find_ends(data[seen:])]
        start = 0
        while (end := _next_end(ends, start, len(data), is_last=not piece)) is not None:
            yield data[start:end]
            start = end
        data = data[start:]
        ends = [end - start for end in ends if end > start]
        if not piece:
            return


def _next_end(ends: list[int], start: int, known: int, *, is_last: bool) -> int | None:
    """Where the chunk from `start` ends; None where more bytes must be known for that."""
    limit = start + MAX_CHUNK_RAW_BYTES
    found = bisect_left(ends, start + _MIN_CUT)
    if found < len(ends) and ends[found] <= limit:
        return ends[found]
    if known >= limit:
        return limit
    return known if is_last and known > start else None


def _find_ends(data: bytes) -> Iterator[int]:
    """The places of `data` behind a whole window whose hash begins with zeros."""
    raw = np.frombuffer(data, np.uint8)
    for start in range(0, max(len(raw) - _WINDOW + 1, 0), _BLOCK_BYTES):
        hashes = _window_hashes(raw[start : start + _BLOCK_BYTES + _WINDOW - 1])
        yield from (np.flatnonzero(hashes < _FIRST_NONZERO_HEAD) + start + _WINDOW).tolist()


def _window_hashes(raw: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The hash of each whole window, the first ending behind byte 63."""
    hashes = gear_table()[raw]
    width = 1
    while width < _WINDOW:
        hashes[width:] += hashes[:-width] << np.uint64(width)
        width *= 2
    return hashes[_WINDOW - 1 :]
