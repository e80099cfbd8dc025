"""Pages of a list: opaque cursors that survive inserts."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from llmos.core.errors import BadRequest
from llmos.core.text import lazy

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
    """The texts and numbers given to `encode_cursor`; None for no cursor; BadRequest for a forged one."""
    if not cursor:
        return None
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        values = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _forged_cursor() from error
    if not isinstance(values, list) or len(values) != length or not all(map(_is_storable, values)):
        raise _forged_cursor()
    return values


def _forged_cursor() -> BadRequest:
    return BadRequest(lazy("cursor is not one this server gave out: leave it out to start."))


def _is_storable(value: Any) -> bool:
    """A number or text that any database takes as a parameter."""
    if isinstance(value, str):
        return not any(char == "\0" or "\ud800" <= char <= "\udfff" for char in value)
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**63


def check_limit(limit: int | None, *, default: int, maximum: int) -> int:
    if limit is None:
        return default
    if limit < 1:
        raise BadRequest(lazy("limit must be 1 or more, not %(limit)s.", limit=limit))
    return min(limit, maximum)


def make_page(found: list[T], size: int, mark: Callable[[T], list[Any]]) -> Page[T]:
    """A page of at most `size` from a query that asked for one more; `mark` gives the cursor's values."""
    if len(found) <= size:
        return Page(found)
    kept = found[:size]
    return Page(kept, encode_cursor(mark(kept[-1])))
