"""JSON that every database and every encoder takes."""

from __future__ import annotations

import json
import math
from typing import Any

MAX_DEPTH = 64
_INT64 = 2**63


def clean_json(value: Any, depth: int = 0) -> Any:
    """The value without what PostgreSQL or a strict encoder refuses.

    NUL and lone surrogates leave texts, numbers that are not finite become null, integers over
    64 bits become floats, and what is nested deeper than MAX_DEPTH becomes null.
    """
    if isinstance(value, str):
        return clean_text(value)
    if value is None or isinstance(value, (bool, int, float)):
        return _clean_number(value)
    if depth >= MAX_DEPTH:
        return None
    if isinstance(value, dict):
        return {clean_text(str(key)): clean_json(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean_json(item, depth + 1) for item in value]
    return clean_text(str(value))


def _clean_number(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return _as_float(value)
    return value


def _as_float(value: int) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


def clean_text(text: str) -> str:
    if "\0" in text:
        text = text.replace("\0", "")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def parse_json_object(data: bytes) -> dict[str, Any]:
    """A JSON object, cleaned; empty when the bytes are anything else."""
    try:
        value = json.loads(data.decode("utf-8-sig"), parse_constant=lambda _name: None)
    except (ValueError, RecursionError):
        return {}
    return clean_json(value) if isinstance(value, dict) else {}
