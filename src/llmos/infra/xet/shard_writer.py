"""Writing shards, and the keyed replies to dedup questions."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from llmos.infra.xet.arrays import np
from llmos.infra.xet.chunks import ChunkTable
from llmos.infra.xet.errors import XetFormatError
from llmos.infra.xet.hashes import HASH_BYTES, Buffer, XetHash, sha256_to_record
from llmos.infra.xet.shard import (
    BOOKEND,
    DEDUP_ELIGIBLE,
    FILE,
    HAS_METADATA,
    HAS_VERIFICATION,
    HASH_ONLY,
    HEADER,
    TAG,
    TERM,
    VERSION,
    XORB,
    ShardFile,
    ShardXorb,
    chunk_dtype,
)

FOOTER_BYTES = 200

_FOOTER = struct.Struct("<9Q32sQQ48xQQQQ")
_FOOTER_VERSION = 1
_MAX_U32 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class ShardFooter:
    """End of a dedup reply: the HMAC key of its chunk hashes and how long clients keep it."""

    hmac_key: bytes
    created_at_s: int  # Unix seconds
    expires_at_s: int  # Unix seconds


def write_shard(
    files: Sequence[ShardFile] = (),
    xorbs: Sequence[ShardXorb] = (),
    footer: ShardFooter | None = None,
) -> bytes:
    """The bytes of a shard; with a footer, one that clients take as a dedup reply.

    Raises XetFormatError for a number that does not fit its field.
    """
    out = bytearray(HEADER.pack(TAG, VERSION, FOOTER_BYTES if footer else 0))
    try:
        files_offset = len(out)
        for file in files:
            _write_file(out, file)
        out += HASH_ONLY.pack(BOOKEND)
        xorbs_offset = len(out)
        for xorb in xorbs:
            _write_xorb(out, xorb)
        out += HASH_ONLY.pack(BOOKEND)
        if footer:
            _write_footer(out, footer, (files_offset, xorbs_offset), files, xorbs)
    except struct.error as error:
        raise XetFormatError("A number is too large for its shard field.") from error
    return bytes(out)


def dedup_shard(
    xorbs: Sequence[tuple[XetHash, ChunkTable]],
    hmac_key: bytes,
    created_at_s: int,
    expires_at_s: int,
) -> bytes:
    """Reply to a dedup question: the chunk lists of `xorbs`, hashes hidden by a 32-byte key.

    List all xorbs of the shard that held the chunk: with the matching one alone clients cut the
    rest anew and send much of it again. An all-zero key hides nothing.
    """
    if len(hmac_key) != HASH_BYTES:
        raise XetFormatError("The HMAC key of a dedup shard has 32 bytes.")
    described = [ShardXorb.from_table(name, table, hmac_key) for name, table in xorbs]
    return write_shard((), described, ShardFooter(hmac_key, created_at_s, expires_at_s))


def parse_footer(data: Buffer) -> ShardFooter:
    """The footer of a dedup reply. Raises XetFormatError if the shard ends without one."""
    if len(data) < HEADER.size + FOOTER_BYTES:
        raise XetFormatError("The shard is too short to have a footer.")
    values = _FOOTER.unpack(memoryview(data)[-FOOTER_BYTES:])
    if values[0] != _FOOTER_VERSION or values[-1] != len(data) - FOOTER_BYTES:
        raise XetFormatError("The shard has no version 1 footer.")
    return ShardFooter(hmac_key=values[9], created_at_s=values[10], expires_at_s=values[11])


def _write_file(out: bytearray, file: ShardFile) -> None:
    flags = HAS_METADATA if file.sha256 else 0
    if file.verification is not None:
        if len(file.verification) != len(file.terms):
            raise XetFormatError("A file needs one verification hash for each term.")
        flags |= HAS_VERIFICATION
    out += FILE.pack(file.file_hash, flags, len(file.terms))
    for term in file.terms:
        out += TERM.pack(term.xorb_hash, 0, term.raw_bytes, term.chunk_start, term.chunk_end)
    for value in file.verification or ():
        out += HASH_ONLY.pack(value)
    if file.sha256:
        out += HASH_ONLY.pack(sha256_to_record(file.sha256))


def _write_xorb(out: bytearray, xorb: ShardXorb) -> None:
    out += XORB.pack(xorb.xorb_hash, 0, len(xorb), xorb.raw_bytes, xorb.disk_bytes)
    array = np.zeros(len(xorb), chunk_dtype())
    ends = np.cumsum(xorb.raw_sizes, dtype=np.int64)
    if len(ends) and int(ends[-1]) > _MAX_U32:
        raise XetFormatError("A number is too large for its shard field.")
    array["hash"] = np.frombuffer(xorb.chunk_hashes, np.uint8).reshape(-1, HASH_BYTES)
    array["size"] = xorb.raw_sizes
    array["offset"] = ends - xorb.raw_sizes
    array["flags"][sorted(xorb.dedup_flags), 0] = DEDUP_ELIGIBLE
    out += array.tobytes()


def _write_footer(
    out: bytearray,
    footer: ShardFooter,
    offsets: tuple[int, int],
    files: Sequence[ShardFile],
    xorbs: Sequence[ShardXorb],
) -> None:
    end = len(out)
    empty_lookups = (end, 0) * 3
    out += _FOOTER.pack(
        _FOOTER_VERSION,
        *offsets,
        *empty_lookups,
        footer.hmac_key,
        footer.created_at_s,
        footer.expires_at_s,
        sum(xorb.disk_bytes for xorb in xorbs),
        sum(file.size_bytes for file in files),
        sum(xorb.raw_bytes for xorb in xorbs),
        end,
    )
