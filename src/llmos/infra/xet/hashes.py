"""Xet hashes: 32 bytes, their hex spelling, and the keyed BLAKE3 functions of the protocol.

A hash is written as four little-endian 64-bit numbers of 16 hex digits each, so the text is
*not* the plain hex of the bytes (Xet protocol, hash strings).
"""

import re
import struct
from typing import TypeAlias

from blake3 import blake3

from llmos.infra.xet.errors import XetFormatError

XetHash: TypeAlias = bytes  # always 32 bytes
Buffer: TypeAlias = bytes | bytearray | memoryview

HASH_BYTES = 32
ZERO_HASH: XetHash = bytes(HASH_BYTES)

# Xet protocol, domain keys.
_CHUNK_KEY = bytes.fromhex("6697f5775b9550de3135cbaca597181c9de421109beb2b58b4d0b04b93adf229")
_NODE_KEY = bytes.fromhex("017ec5c7a5472996fd946666b48a02e65ddd536f37c76dd2f86352e64a53713f")
_RANGE_KEY = bytes.fromhex("7f1857d6ce56ed66127ff913e7a5c3f3a4cd26d5b5db49e64124987f28fb94c3")
_FILE_KEY = ZERO_HASH

_GLOBAL_DEDUP_MODULUS = 1024
_FOUR_U64 = struct.Struct("<4Q")
_HEX = re.compile(r"[0-9a-f]{64}")


def to_hex(value: XetHash) -> str:
    """The 64-digit text of a hash, as used in URLs, JSON and Merkle nodes.

    Raises XetFormatError unless `value` has exactly 32 bytes.
    """
    if len(value) != HASH_BYTES:
        raise XetFormatError(f"A Xet hash has 32 bytes, not {len(value)}.")
    return "%016x%016x%016x%016x" % _FOUR_U64.unpack(value)  # noqa: UP031 (4x faster)


def from_hex(text: str) -> XetHash:
    """The hash behind its 64-digit text; refuses anything but 64 lower-case hex digits."""
    if _HEX.fullmatch(text) is None:
        raise XetFormatError("A Xet hash is written as 64 lower-case hex digits.")
    return _FOUR_U64.pack(*(int(text[i : i + 16], 16) for i in range(0, 64, 16)))


def sha256_to_record(digest_hex: str) -> bytes:
    """The 32 bytes by which a shard's metadata record spells a SHA-256 hex digest.

    Shards store it in hash-string order, each 8-byte group reversed.
    """
    return from_hex(digest_hex)


def sha256_from_record(record: bytes) -> str:
    """The SHA-256 hex digest in a shard's metadata record; reverse of `sha256_to_record`."""
    return to_hex(record)


def hash_chunk(raw: Buffer) -> XetHash:
    """Hash of a chunk's raw (uncompressed) bytes."""
    return blake3(raw, key=_CHUNK_KEY).digest()


def hash_node(text: bytes) -> XetHash:
    """Hash of an inner Merkle node, given the text that lists its children."""
    return blake3(text, key=_NODE_KEY).digest()


def hash_file_root(root: XetHash) -> XetHash:
    """File hash made from the Merkle root of the file's chunks (empty file: 32 zero bytes)."""
    return root if root == ZERO_HASH else blake3(root, key=_FILE_KEY).digest()


def hash_range(chunk_hashes: Buffer) -> XetHash:
    """Verification hash of a term, given its chunk hashes laid end to end.

    It proves that the sender knows the chunks and did not merely learn the name of a xorb.
    """
    return blake3(chunk_hashes, key=_RANGE_KEY).digest()


def hmac_chunk_hash(chunk_hash: XetHash, key: bytes) -> XetHash:
    """Chunk hash as hidden in a keyed dedup shard; an all-zero key means "not hidden"."""
    return chunk_hash if key == ZERO_HASH else blake3(chunk_hash, key=key).digest()


def is_dedup_eligible(chunk_hash: XetHash) -> bool:
    """Whether clients may ask about this chunk by its hash alone (one in 1024).

    They also ask about the first chunk of each file, whatever its hash.
    """
    return int.from_bytes(chunk_hash[24:32], "little") % _GLOBAL_DEDUP_MODULUS == 0
