"""Reading values of unknown type without trusting them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def as_text(value: Any) -> str | None:
    """Text stripped of blanks, or None where there is none."""
    return value.strip() or None if isinstance(value, str) else None


def as_texts(value: Any) -> tuple[str, ...]:
    """The texts of a list, or of one text; anything else is left out, repeats too."""
    items = value if isinstance(value, list) else [value]
    return unique(text for text in map(as_text, items) if text)


def as_map(value: Any) -> dict[str, Any]:
    """The mapping, or an empty one."""
    return value if isinstance(value, dict) else {}


def unique(items: Iterable[str]) -> tuple[str, ...]:
    """Items in order of first appearance."""
    return tuple(dict.fromkeys(items))
