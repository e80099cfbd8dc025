"""One packed chunk: its 8-byte header and its data in one of three schemes.

Header: version 0, u24 LE data size, u8 scheme, u24 LE raw size (Xet protocol, chunk header).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import lz4.block
import lz4.frame

from llmos.infra.xet.arrays import np
from llmos.infra.xet.chunks import (
    CHUNK_HEADER_BYTES,
    MAX_CHUNK_DATA_BYTES,
    MAX_CHUNK_RAW_BYTES,
)
from llmos.infra.xet.errors import XetFormatError
from llmos.infra.xet.hashes import Buffer

SCHEME_NONE = 0
SCHEME_LZ4 = 1
SCHEME_BG4_LZ4 = 2

# LZ4 frame format: magic, flags, block size, and a checksum of these two bytes.
_FRAME_HEADER_BYTES = 7


def decode_chunk(scheme: int, data: Buffer, raw_size: int) -> bytes:
    """Raw bytes of a chunk's data (without header); never makes more than the limit.

    Raises XetFormatError for an unknown scheme, damaged data, or any size but `raw_size`.
    """
    if not 0 < raw_size <= MAX_CHUNK_RAW_BYTES:
        raise XetFormatError(f"A chunk has 1 to {MAX_CHUNK_RAW_BYTES} raw bytes, not {raw_size}.")
    return bytes(decode_view(scheme, data, raw_size))


def encode_chunk(raw: bytes, scheme: int | None = None) -> tuple[int, bytes]:
    """(scheme, data) of a chunk; without a scheme the smallest of the three is taken."""
    if not 0 < len(raw) <= MAX_CHUNK_RAW_BYTES:
        raise XetFormatError(f"A chunk has 1 to {MAX_CHUNK_RAW_BYTES} raw bytes, not {len(raw)}.")
    if scheme == SCHEME_NONE:
        return SCHEME_NONE, raw
    if scheme == SCHEME_LZ4:
        return SCHEME_LZ4, lz4.frame.compress(raw)
    if scheme == SCHEME_BG4_LZ4:
        return SCHEME_BG4_LZ4, lz4.frame.compress(b"".join([raw[i::4] for i in range(4)]))
    if scheme is not None:
        raise XetFormatError(f"Chunk scheme {scheme} is unknown; use 0, 1 or 2.")
    choices = [encode_chunk(raw, s) for s in (SCHEME_NONE, SCHEME_LZ4, SCHEME_BG4_LZ4)]
    return min(choices, key=lambda choice: len(choice[1]))


def iter_raw_chunks(packed: Buffer) -> Iterator[Buffer]:
    """Raw data of each chunk in a run of whole packed chunks (headers included).

    Raises XetFormatError where the bytes are no chunk; hashes are not checked.
    """
    view = memoryview(packed)
    while view:
        if len(view) < CHUNK_HEADER_BYTES:
            raise XetFormatError("A packed range ends inside a chunk header.")
        data_size, scheme, raw_size = read_header(view)
        end = CHUNK_HEADER_BYTES + data_size
        if len(view) < end:
            raise XetFormatError("A packed range ends inside a chunk.")
        yield decode_view(scheme, view[CHUNK_HEADER_BYTES:end], raw_size)
        view = view[end:]


def read_header(view: memoryview) -> tuple[int, int, int]:
    """(data size, scheme, raw size) at the start of `view` (at least 8 bytes), sizes checked."""
    word = int.from_bytes(view[:CHUNK_HEADER_BYTES], "little")
    data_size, scheme, raw_size = word >> 8 & 0xFFFFFF, word >> 32 & 0xFF, word >> 40
    if word & 0xFF:
        raise XetFormatError(f"Chunk header version {word & 0xFF} is unknown; use version 0.")
    if not 0 < raw_size <= MAX_CHUNK_RAW_BYTES:
        raise XetFormatError(f"A chunk has 1 to {MAX_CHUNK_RAW_BYTES} raw bytes, not {raw_size}.")
    if not 0 < data_size <= MAX_CHUNK_DATA_BYTES:
        raise XetFormatError(f"A packed chunk has 1 to {MAX_CHUNK_DATA_BYTES} bytes, not {data_size}.")
    return data_size, scheme, raw_size


def decode_view(scheme: int, data: Buffer, raw_size: int) -> Buffer:
    """Like `decode_chunk` for a raw size already checked; the answer may share `data`."""
    if scheme == SCHEME_NONE:
        if len(data) != raw_size:
            raise XetFormatError(f"An unpacked chunk declares {raw_size} bytes, has {len(data)}.")
        return data
    if scheme == SCHEME_LZ4:
        return _decompress(data, raw_size)
    if scheme == SCHEME_BG4_LZ4:
        return _join_groups(_decompress(data, raw_size))
    raise XetFormatError(f"Chunk scheme {scheme} is unknown; use 0, 1 or 2.")


def _decompress(data: Buffer, raw_size: int) -> bytes:
    plain = _decompress_block(data, raw_size)
    if plain is not None:
        return plain
    frame = lz4.frame.LZ4FrameDecompressor()
    try:
        # One byte more than declared is enough to see a lie; a bomb never unfolds.
        raw: bytes = frame.decompress(data, max_length=raw_size + 1)
    except (RuntimeError, ValueError, EOFError) as error:
        raise XetFormatError("A chunk's data is not a valid LZ4 frame.") from error
    if len(raw) != raw_size or not frame.eof or frame.unused_data:
        raise XetFormatError(f"A chunk's LZ4 frame does not hold exactly {raw_size} bytes.")
    return raw


def _decompress_block(data: Buffer, raw_size: int) -> bytes | None:
    """The content of a frame of one compressed block, as clients make them; None for any other.

    Saves setting up a frame decoder for every 64 KiB, a third of the time, and is as strict: every
    byte outside of the block is compared.
    """
    start = _FRAME_HEADER_BYTES + 4
    word = int.from_bytes(data[_FRAME_HEADER_BYTES:start], "little")
    end = start + word
    if len(data) != end + 4 or raw_size > _plain_headers().get(bytes(data[:_FRAME_HEADER_BYTES]), 0):
        return None
    if any(data[end:]):
        return None
    try:
        raw: bytes = lz4.block.decompress(data[start:end], uncompressed_size=raw_size)
    except lz4.block.LZ4BlockError:
        return None
    return raw if len(raw) == raw_size else None


@cache
def _plain_headers() -> dict[bytes, int]:
    """Headers of frames with independent blocks and no extras: checked ones, with their block sizes."""
    sizes = {lz4.frame.BLOCKSIZE_MAX64KB: 64, lz4.frame.BLOCKSIZE_MAX256KB: 256}
    sizes |= {lz4.frame.BLOCKSIZE_MAX1MB: 1024, lz4.frame.BLOCKSIZE_MAX4MB: 4096}
    made = {}
    for code, size_kib in sizes.items():
        header: bytes = lz4.frame.LZ4FrameCompressor(block_size=code, block_linked=False).begin()
        made[header] = size_kib * 1024
    return made


def _join_groups(grouped: bytes) -> memoryview:
    """Undo byte grouping: all bytes 0 mod 4, then 1, 2, 3; a short tail is in the first groups."""
    source = np.frombuffer(grouped, np.uint8)
    raw = np.empty(len(grouped), np.uint8)
    start = 0
    for group in range(4):
        end = start + (len(grouped) - group + 3) // 4
        raw[group::4] = source[start:end]
        start = end
    return raw.data
