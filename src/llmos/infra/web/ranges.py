"""Byte ranges of one request (RFC 9110, section 14)."""

from __future__ import annotations

import re
from typing import NamedTuple

from llmos.core.errors import RangeNotSatisfiable
from llmos.core.text import lazy

_SINGLE = re.compile(r"\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*\Z", re.IGNORECASE | re.ASCII)


class ByteRange(NamedTuple):
    """Bytes `start` to `end`, `end` exclusive."""

    start: int
    end: int

    @property
    def length_bytes(self) -> int:
        return self.end - self.start

    def content_range(self, size_bytes: int) -> str:
        return f"bytes {self.start}-{self.end - 1}/{size_bytes}"


def parse_range(header: str | None, size_bytes: int) -> ByteRange | None:
    """The one range asked for, cut to the size; None means: send everything.

    A header that is malformed or asks for several ranges is ignored, as the RFC allows.
    Raises RangeNotSatisfiable when the range lies past the end.
    """
    match = _SINGLE.match(header) if header else None
    if match is None:
        return None
    first, last = match[1], match[2]
    if not first and not last:
        return None
    if not first:
        start, end = max(size_bytes - int(last), 0), size_bytes
    else:
        start = int(first)
        end = min(int(last) + 1, size_bytes) if last else size_bytes
        if last and int(last) < start:
            return None
    if start >= end:
        raise RangeNotSatisfiable(
            lazy(
                "Range starts past the end: the content is %(size_bytes)s bytes long.", size_bytes=size_bytes
            ),
            data={"size_bytes": size_bytes},
        )
    return ByteRange(start, end)


def range_applies(if_range: str | None, etag: str | None) -> bool:
    """Whether `If-Range` still names this content; a date never does, we send none."""
    return if_range is None or (etag is not None and if_range.strip() == f'"{etag}"')


def etag_matches(if_none_match: str | None, etag: str | None) -> bool:
    """Whether `If-None-Match` names this content (weak comparison)."""
    if not if_none_match or etag is None:
        return False
    offered = {part.strip().removeprefix("W/") for part in if_none_match.split(",")}
    return "*" in offered or f'"{etag}"' in offered
