"""Xorbs: packs of compressed chunks, read and checked as they stream in, or built.

A xorb is a row of chunks, each an 8-byte header (version 0, u24 LE data size, u8 scheme, u24 LE
raw size) and its data; a footer, if any, starts with `XETBLOB` and is not needed (Xet protocol,
xorb format).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

from llmos.infra.xet.chunks import (
    CHUNK_HEADER_BYTES,
    MAX_XORB_BYTES,
    MAX_XORB_CHUNKS,
    ChunkRecord,
    ChunkTable,
    pack_chunks,
    unpack_chunks,
)
from llmos.infra.xet.codec import decode_view, encode_chunk, read_header
from llmos.infra.xet.errors import XetFormatError
from llmos.infra.xet.hashes import Buffer, XetHash, hash_chunk, to_hex
from llmos.infra.xet.merkle import xorb_hash

_FOOTER_MARK = b"XETBLOB"
_READ_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class ParsedXorb:
    """A checked xorb; `packed_bytes` is its size without a footer."""

    xorb_hash: XetHash
    records: list[ChunkRecord]
    raw_bytes: int
    packed_bytes: int

    def table(self) -> ChunkTable:
        """The chunk list in its stored form (`.blob`)."""
        return unpack_chunks(pack_chunks(self.records))


class XorbVerifier:
    """Checks a xorb piece by piece: `feed` the bytes in order, then `finish`.

    Every chunk is decoded with a bounded output and hashed when its last byte arrives; at most
    one unfinished chunk is held. Each method raises XetFormatError for bytes that are no xorb.
    """

    def __init__(self) -> None:
        self.records: list[ChunkRecord] = []
        self.raw_bytes = 0
        self.packed_bytes = 0
        self._fed_bytes = 0
        self._tail: Buffer = b""
        self._in_footer = False

    def feed(self, data: Buffer) -> None:
        """Take the next bytes of the xorb."""
        self._fed_bytes += len(data)
        if self._fed_bytes > MAX_XORB_BYTES:
            raise XetFormatError(f"A xorb has at most {MAX_XORB_BYTES} bytes.")
        if self._in_footer:
            return
        view = memoryview(b"".join((self._tail, data)) if self._tail else data)
        offset = 0
        while not self._in_footer:
            used = self._take_chunk(view[offset:])
            if not used:
                break
            offset += used
        self._tail = b"" if self._in_footer else bytes(view[offset:])

    def finish(self, expected: XetHash | None = None) -> ParsedXorb:
        """The checked xorb; refuses a cut chunk, no chunk, or a name other than `expected`."""
        if self._tail:
            raise XetFormatError("The xorb ends inside a chunk; send it again in full.")
        if not self.records:
            raise XetFormatError("The xorb holds no chunk.")
        actual = xorb_hash((record.hash, record.raw_size) for record in self.records)
        if expected is not None and actual != expected:
            raise XetFormatError(f"The xorb's content hashes to {to_hex(actual)}, not to {to_hex(expected)}.")
        return ParsedXorb(actual, self.records, self.raw_bytes, self.packed_bytes)

    def _take_chunk(self, view: memoryview) -> int:
        if len(view) < CHUNK_HEADER_BYTES:
            return 0
        if view[: len(_FOOTER_MARK)] == _FOOTER_MARK:
            self._in_footer = True
            return 0
        data_size, scheme, raw_size = read_header(view)
        end = CHUNK_HEADER_BYTES + data_size
        if len(view) < end:
            return 0
        if len(self.records) == MAX_XORB_CHUNKS:
            raise XetFormatError(f"A xorb holds at most {MAX_XORB_CHUNKS} chunks.")
        raw = decode_view(scheme, view[CHUNK_HEADER_BYTES:end], raw_size)
        self.records.append(ChunkRecord(hash_chunk(raw), raw_size, end, self.packed_bytes, scheme))
        self.raw_bytes += raw_size
        self.packed_bytes += end
        return end


def parse_xorb(source: Buffer | BinaryIO, expected: XetHash | None = None) -> ParsedXorb:
    """Read a whole xorb from bytes or from a file open at its start, and check every byte.

    Refuses with XetFormatError: sizes over the limits, data that does not decode to exactly the
    declared size, and, given `expected`, any content whose Merkle root differs from it.
    """
    verifier = XorbVerifier()
    if isinstance(source, bytes | bytearray | memoryview):
        verifier.feed(source)
    else:
        while block := source.read(_READ_BYTES):
            verifier.feed(block)
    return verifier.finish(expected)


def build_xorb(chunks: Iterable[bytes], scheme: int | None = None) -> tuple[bytes, ParsedXorb]:
    """Pack raw chunks into a xorb (no footer), with its chunk list.

    Raises XetFormatError if there is no chunk or a limit is exceeded.
    """
    packed = bytearray()
    records: list[ChunkRecord] = []
    raw_bytes = 0
    for raw in chunks:
        used, data = encode_chunk(raw, scheme)
        record = ChunkRecord(hash_chunk(raw), len(raw), CHUNK_HEADER_BYTES + len(data), len(packed), used)
        packed += b"\0" + len(data).to_bytes(3, "little") + bytes([used])
        packed += len(raw).to_bytes(3, "little") + data
        records.append(record)
        raw_bytes += len(raw)
        if len(records) > MAX_XORB_CHUNKS or len(packed) > MAX_XORB_BYTES:
            raise XetFormatError("Too much for one xorb: at most 8192 chunks and 64 MiB.")
    if not records:
        raise XetFormatError("The xorb holds no chunk.")
    name = xorb_hash((record.hash, record.raw_size) for record in records)
    return bytes(packed), ParsedXorb(name, records, raw_bytes, len(packed))
