"""Git LFS pointer files, version 1."""

from __future__ import annotations

import re
from dataclasses import dataclass

VERSION_LINE = b"version https://git-lfs.github.com/spec/v1\n"
MAX_POINTER_BYTES = 1024
_KEY = re.compile(rb"[a-z0-9.-]+\Z")
_OID = re.compile(rb"sha256:([0-9a-f]{64})\Z")
_SIZE = re.compile(rb"(?:0|[1-9][0-9]{0,18})\Z")


@dataclass(frozen=True, slots=True)
class LfsPointer:
    """`oid` is the SHA-256 of the content in hex; `pointer_size` counts the pointer's bytes."""

    oid: str
    size: int
    pointer_size: int


def format_pointer(oid: str, size_bytes: int) -> bytes:
    """The canonical pointer file for a content (Git LFS specification, "The Pointer")."""
    if _OID.match(b"sha256:" + oid.encode()) is None:
        raise ValueError("an LFS oid is 64 lower-case hex characters")
    if size_bytes < 0:
        raise ValueError("an LFS size is not negative")
    return VERSION_LINE + f"oid sha256:{oid}\nsize {size_bytes}\n".encode()


def parse_pointer(data: bytes) -> LfsPointer | None:
    """The pointer held by a blob's bytes, or None if they are not one.

    Accepted as the specification asks: at most 1024 bytes, `version` first, the other keys in
    sorted order, each once, `key value` lines ending in a newline; unknown keys are ignored.
    """
    if len(data) > MAX_POINTER_BYTES or not data.startswith(VERSION_LINE):
        return None
    if not data.endswith(b"\n"):
        return None
    values: dict[bytes, bytes] = {}
    previous = b""
    for line in data[len(VERSION_LINE) : -1].split(b"\n"):
        key, space, value = line.partition(b" ")
        if not space or key <= previous or _KEY.match(key) is None:
            return None
        values[key] = value
        previous = key
    oid = _OID.match(values.get(b"oid", b""))
    size = _SIZE.match(values.get(b"size", b""))
    if oid is None or size is None:
        return None
    return LfsPointer(oid[1].decode(), int(size[0]), len(data))
