"""The chunk list of one xorb and its compact stored form: 40 bytes a chunk.

One record is the chunk hash (32), raw size with the scheme in the top byte (u32 LE) and the
offset where the packed chunk ends in the xorb (u32 LE). About 0.7 MB describe 1 GiB of files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from llmos.infra.xet.arrays import np
from llmos.infra.xet.errors import XetFormatError
from llmos.infra.xet.hashes import HASH_BYTES, XetHash
from llmos.infra.xet.merkle import Node

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Xet protocol, xorb limits.
MAX_XORB_BYTES = 64 * 1024 * 1024
MAX_XORB_CHUNKS = 8192
MAX_CHUNK_RAW_BYTES = 131_072
MAX_CHUNK_DATA_BYTES = 262_144
CHUNK_HEADER_BYTES = 8

_SCHEMES = 3
RECORD_BYTES = 40


@cache
def _record_dtype() -> np.dtype[Any]:
    return np.dtype([("hash", "u1", (HASH_BYTES,)), ("raw", "<u4"), ("end", "<u4")])


class ChunkRecord(NamedTuple):
    """One chunk inside a xorb; packed numbers count the 8-byte chunk header too."""

    hash: XetHash
    raw_size: int
    packed_size: int
    packed_offset: int
    scheme: int


class ChunkTable(Sequence[ChunkRecord]):
    """The chunk list of one xorb, read from its stored form without a Python object per chunk."""

    __slots__ = ("_hashes", "_schemes", "blob", "packed_ends", "raw_ends")

    blob: bytes
    raw_ends: NDArray[np.int64]
    packed_ends: NDArray[np.int64]

    def __init__(self, blob: bytes) -> None:
        """Raises XetFormatError if `blob` is not a chunk list within the protocol's limits."""
        if not blob or len(blob) % RECORD_BYTES:
            raise XetFormatError("A stored chunk list is a positive number of 40-byte records.")
        if len(blob) > MAX_XORB_CHUNKS * RECORD_BYTES:
            raise XetFormatError(f"A xorb holds at most {MAX_XORB_CHUNKS} chunks.")
        array = np.frombuffer(blob, _record_dtype())
        raw = array["raw"] & 0xFFFFFF
        packed_ends = array["end"].astype(np.int64)
        schemes = array["raw"] >> 24
        sizes = np.diff(packed_ends, prepend=0)
        if (
            raw.min() < 1
            or raw.max() > MAX_CHUNK_RAW_BYTES
            or schemes.max() >= _SCHEMES
            or sizes.min() <= CHUNK_HEADER_BYTES
            or sizes.max() > MAX_CHUNK_DATA_BYTES + CHUNK_HEADER_BYTES
            or packed_ends[-1] > MAX_XORB_BYTES
        ):
            raise XetFormatError("A stored chunk list has sizes outside the xorb limits.")
        self.blob = blob
        self.raw_ends = np.cumsum(raw, dtype=np.int64)
        self.packed_ends = packed_ends
        self._hashes = array["hash"]
        self._schemes = schemes

    def __len__(self) -> int:
        return len(self.raw_ends)

    @overload
    def __getitem__(self, index: int) -> ChunkRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[ChunkRecord]: ...
    def __getitem__(self, index: int | slice) -> ChunkRecord | list[ChunkRecord]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = range(len(self))[index]
        packed_offset, packed_end = self.packed_range(i, i + 1)
        return ChunkRecord(
            self.hash_at(i),
            self.raw_bytes(i, i + 1),
            packed_end - packed_offset,
            packed_offset,
            int(self._schemes[i]),
        )

    def __iter__(self) -> Iterator[ChunkRecord]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ChunkTable) and self.blob == other.blob

    def __hash__(self) -> int:
        return hash(self.blob)

    def hash_at(self, index: int) -> XetHash:
        """Hash of chunk `index` (0 to len-1)."""
        return self.blob[index * RECORD_BYTES : index * RECORD_BYTES + HASH_BYTES]

    def hashes(self, start: int, end: int) -> bytes:
        """Hashes of the chunks start <= i < end, laid end to end."""
        return self._hashes[start:end].tobytes()

    def nodes(self, start: int, end: int) -> list[Node]:
        """(hash, raw length) of the chunks start <= i < end, for Merkle aggregation."""
        joined = self.hashes(start, end)
        sizes = np.diff(self.raw_ends[start:end], prepend=self.raw_start(start)).tolist()
        return [(joined[i * HASH_BYTES : (i + 1) * HASH_BYTES], size) for i, size in enumerate(sizes)]

    def raw_start(self, index: int) -> int:
        """Bytes of raw data before chunk `index` (0 to len)."""
        return int(self.raw_ends[index - 1]) if index else 0

    def raw_bytes(self, start: int, end: int) -> int:
        """Raw size of the chunks start <= i < end, in bytes."""
        return self.raw_start(end) - self.raw_start(start)

    def packed_range(self, start: int, end: int) -> tuple[int, int]:
        """First offset and end (exclusive) in the xorb of the chunks start <= i < end."""
        begin = int(self.packed_ends[start - 1]) if start else 0
        return begin, int(self.packed_ends[end - 1])

    def index_at(self, raw_offset: int) -> int:
        """Index of the chunk that holds the raw byte at `raw_offset` (0 <= offset < raw size)."""
        return int(np.searchsorted(self.raw_ends, raw_offset, side="right"))


def pack_chunks(records: Iterable[ChunkRecord]) -> bytes:
    """Stored form of a chunk list, 40 bytes a chunk; `unpack_chunks` reads it back.

    Raises XetFormatError if the records are not contiguous from offset 0 or exceed a limit.
    """
    rows = list(records)
    expected_offset = 0
    for row in rows:
        if len(row.hash) != HASH_BYTES or row.packed_offset != expected_offset:
            raise XetFormatError("Chunk records must have 32-byte hashes and leave no gaps.")
        if not 0 < row.raw_size <= MAX_CHUNK_RAW_BYTES or not 0 <= row.scheme < _SCHEMES:
            raise XetFormatError("A chunk record has a raw size or scheme outside the limits.")
        expected_offset += row.packed_size
        if row.packed_size <= CHUNK_HEADER_BYTES or expected_offset > MAX_XORB_BYTES:
            raise XetFormatError("A chunk record has a packed size outside the limits.")
    array: NDArray[Any] = np.zeros(len(rows), _record_dtype())
    array["hash"] = np.frombuffer(b"".join([r.hash for r in rows]), np.uint8).reshape(-1, 32)
    array["raw"] = [r.raw_size | r.scheme << 24 for r in rows]
    array["end"] = [r.packed_offset + r.packed_size for r in rows]
    blob = array.tobytes()
    unpack_chunks(blob)
    return blob


def unpack_chunks(blob: bytes) -> ChunkTable:
    """The chunk list behind its stored form. Raises XetFormatError for anything else."""
    return ChunkTable(blob)
