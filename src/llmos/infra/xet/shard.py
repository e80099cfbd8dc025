"""Shards: which chunks new xorbs hold, and which terms make a file.

A shard is a header, a file section, a xorb section and, only in replies to dedup questions, a
200-byte footer; all but header and footer are 48-byte little-endian records (Xet protocol, shard
format). Reading goes straight through: some clients announce a footer that they do not send.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from llmos.infra.xet.arrays import np
from llmos.infra.xet.chunks import (
    MAX_CHUNK_RAW_BYTES,
    MAX_XORB_BYTES,
    MAX_XORB_CHUNKS,
    ChunkTable,
)
from llmos.infra.xet.errors import XetFormatError
from llmos.infra.xet.hashes import (
    HASH_BYTES,
    ZERO_HASH,
    Buffer,
    XetHash,
    hmac_chunk_hash,
    sha256_from_record,
)

MAX_SHARD_BYTES = 64 * 1024 * 1024
RECORD_BYTES = 48

TAG = b"HFRepoMetaData\0" + bytes.fromhex("55696745 6a7b8157 83a5bdd9 5ccdd14a a9")
HEADER = struct.Struct("<32sQQ")
FILE = struct.Struct("<32sII8x")
TERM = struct.Struct("<32sIIII")
HASH_ONLY = struct.Struct("<32s16x")
XORB = struct.Struct("<32sIIII")
BOOKEND = b"\xff" * HASH_BYTES
VERSION = 2
HAS_VERIFICATION = 1 << 31
HAS_METADATA = 1 << 30
DEDUP_ELIGIBLE = 1 << 31


@cache
def chunk_dtype() -> np.dtype[Any]:
    """One chunk of a xorb section, 48 bytes (Xet protocol, CAS chunk sequence entry)."""
    fields = [("hash", "u1", (HASH_BYTES,)), ("offset", "<u4"), ("size", "<u4"), ("flags", "<u4", (2,))]
    return np.dtype(fields)


@dataclass(frozen=True, slots=True)
class ShardTerm:
    """A run of chunks, chunk_start <= i < chunk_end, of one xorb: a piece of a file."""

    xorb_hash: XetHash
    raw_bytes: int
    chunk_start: int
    chunk_end: int


@dataclass(frozen=True, slots=True)
class ShardFile:
    """A file as a list of terms; `verification` has one hash for each term."""

    file_hash: XetHash
    terms: list[ShardTerm]
    verification: list[XetHash] | None = None
    sha256: str | None = None

    @property
    def size_bytes(self) -> int:
        """Length of the file."""
        return sum(term.raw_bytes for term in self.terms)

    @property
    def chunk_count(self) -> int:
        """Chunks the file is made of: what proving it costs, so a server can refuse too many."""
        return sum(term.chunk_end - term.chunk_start for term in self.terms)


@dataclass(frozen=True, slots=True)
class ShardXorb:
    """A xorb as a shard describes it; chunk hashes lie end to end in `chunk_hashes`."""

    xorb_hash: XetHash
    chunk_hashes: bytes
    raw_sizes: tuple[int, ...]
    raw_bytes: int
    disk_bytes: int
    dedup_flags: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.raw_sizes)

    def chunk_hash(self, index: int) -> XetHash:
        """Hash of chunk `index` (0 to len-1)."""
        return self.chunk_hashes[index * HASH_BYTES : (index + 1) * HASH_BYTES]

    @classmethod
    def from_table(cls, xorb_hash: XetHash, table: ChunkTable, hmac_key: bytes = ZERO_HASH) -> ShardXorb:
        """Describe a stored xorb; with a key the chunk hashes are hidden by it (dedup replies)."""
        count = len(table)
        hashes = table.hashes(0, count)
        if hmac_key != ZERO_HASH:
            hashes = b"".join([hmac_chunk_hash(table.hash_at(i), hmac_key) for i in range(count)])
        sizes = tuple(np.diff(table.raw_ends, prepend=0).tolist())
        return cls(
            xorb_hash,
            hashes,
            sizes,
            table.raw_bytes(0, count),
            table.packed_range(0, count)[1],
        )


@dataclass(frozen=True, slots=True)
class Shard:
    """A whole shard."""

    files: list[ShardFile] = field(default_factory=list)
    xorbs: list[ShardXorb] = field(default_factory=list)


def parse_shard(data: Buffer, max_bytes: int = MAX_SHARD_BYTES) -> Shard:
    """Read a shard as a client uploads it. A footer is neither needed nor read.

    Refuses with XetFormatError: more than `max_bytes`, an unknown tag or version, counts beyond
    the data, empty or reversed chunk ranges, and xorbs over the protocol's limits. Nothing is
    said about whether the named xorbs exist or the hashes are true (see `verify`).
    """
    if len(data) > max_bytes:
        raise XetFormatError(f"A shard has at most {max_bytes} bytes; send several.")
    reader = _Reader(memoryview(data))
    tag, version, _ = HEADER.unpack(reader.take(1))
    if tag != TAG or version != VERSION:
        raise XetFormatError("The body is not a version 2 shard.")
    files: list[ShardFile] = []
    while not _is_bookend(header := reader.take(1)):
        files.append(_read_file(header, reader))
    xorbs: list[ShardXorb] = []
    while not _is_bookend(header := reader.take(1)):
        xorbs.append(_read_xorb(header, reader))
    return Shard(files, xorbs)


class _Reader:
    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._offset = 0
        self.names: dict[XetHash, XetHash] = {}

    def take(self, count: int) -> memoryview:
        """The next `count` records; `count` is checked against what is left before any use."""
        end = self._offset + count * RECORD_BYTES
        if end > len(self._data):
            raise XetFormatError("The shard is cut short: a count goes beyond its end.")
        view = self._data[self._offset : end]
        self._offset = end
        return view

    def hashes(self, count: int) -> list[XetHash]:
        return [value for (value,) in HASH_ONLY.iter_unpack(self.take(count))]


def _is_bookend(record: memoryview) -> bool:
    return record[:HASH_BYTES] == BOOKEND


def _read_file(header: memoryview, reader: _Reader) -> ShardFile:
    file_hash, flags, count = FILE.unpack(header)
    terms = []
    for name, _, raw_bytes, start, end in TERM.iter_unpack(reader.take(count)):
        if not (start < end <= MAX_XORB_CHUNKS and 0 < raw_bytes <= (end - start) * MAX_CHUNK_RAW_BYTES):
            raise XetFormatError("A file term has an empty chunk range or an impossible length.")
        # Terms repeat few names: one object per name keeps large shards small in memory.
        terms.append(ShardTerm(reader.names.setdefault(name, name), raw_bytes, start, end))
    verification = reader.hashes(count) if flags & HAS_VERIFICATION else None
    sha256 = sha256_from_record(reader.hashes(1)[0]) if flags & HAS_METADATA else None
    return ShardFile(file_hash, terms, verification, sha256)


def _read_xorb(header: memoryview, reader: _Reader) -> ShardXorb:
    xorb_hash, _, count, raw_bytes, disk_bytes = XORB.unpack(header)
    if not 0 < count <= MAX_XORB_CHUNKS or disk_bytes > MAX_XORB_BYTES:
        raise XetFormatError(f"A xorb has 1 to {MAX_XORB_CHUNKS} chunks and at most 64 MiB.")
    array = np.frombuffer(reader.take(count), chunk_dtype())
    sizes = array["size"]
    if sizes.min() < 1 or sizes.max() > MAX_CHUNK_RAW_BYTES:
        raise XetFormatError(f"A chunk has 1 to {MAX_CHUNK_RAW_BYTES} raw bytes.")
    ends = np.cumsum(sizes, dtype=np.int64)
    if int(ends[-1]) != raw_bytes or not np.array_equal(array["offset"], ends - sizes):
        raise XetFormatError("A xorb's chunk offsets do not add up to its length.")
    eligible = np.flatnonzero(array["flags"][:, 0] & DEDUP_ELIGIBLE).tolist()
    return ShardXorb(
        xorb_hash,
        array["hash"].tobytes(),
        tuple(sizes.tolist()),
        raw_bytes,
        disk_bytes,
        frozenset(eligible),
    )
