"""Pages of a list: opaque cursors that survive inserts."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from llmos.core.errors import BadRequest

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`next_cursor` is None on the last page; `total` only where it is cheap to know."""

    items: list[T]
    next_cursor: str | None = None
    total: int | None = None

    def map(self, fn: Callable[[T], U]) -> Page[U]:
        return Page([fn(item) for item in self.items], self.next_cursor, self.total)


def encode_cursor(values: list[Any]) -> str:
    raw = json.dumps(values, separators=(",", ":"), default=str).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode_cursor(cursor: str | None, length: int) -> list[Any] | None:
    """The values given to `encode_cursor`; None for no cursor; BadRequest for a forged one."""
    if not cursor:
        return None
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        values = json.loads(raw)
    except ValueError as error:
        raise BadRequest("cursor is not one this server gave out: leave it out to start.") from error
    if not isinstance(values, list) or len(values) != length:
        raise BadRequest("cursor is not one this server gave out: leave it out to start.")
    return values


def check_limit(limit: int | None, *, default: int, maximum: int) -> int:
    if limit is None:
        return default
    if limit < 1:
        raise BadRequest(f"limit must be 1 or more, not {limit}.")
    return min(limit, maximum)


def make_page(found: list[T], size: int, mark: Callable[[T], list[Any]]) -> Page[T]:
    """A page of at most `size` from a query that asked for one more; `mark` gives the cursor's values."""
    if len(found) <= size:
        return Page(found)
    kept = found[:size]
    return Page(kept, encode_cursor(mark(kept[-1])))
