"""One text for one value: canonical JSON, and its careful reader.

Keys are sorted by code point, there are no blanks, strings are UTF-8 with only the escapes JSON demands,
integers are exact and floats the shortest text that gives them back (`1.0`, `1e-07`). Not-a-number and
infinity have no text.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any

from llmos.records.errors import RecordError

MAX_DEPTH = 100


def canonical(value: Any) -> bytes:
    """`value` (objects, lists, text, numbers, true, false, null) as canonical JSON.

    Raises RecordError for anything else: not-a-number, keys that are not text, half a surrogate pair.
    """
    try:
        _check_keys(value, 0)
        text = json.dumps(
            value,
            ensure_ascii=False,
            allow_nan=False,
            sort_keys=True,
            separators=(",", ":"),
            check_circular=False,
        )
        return text.encode("utf-8")
    except (TypeError, ValueError) as error:
        raise RecordError(f"There is no canonical JSON of this value: {error}.") from error


def digest(value: Any) -> str:
    """SHA-256, in hex, of the canonical JSON of `value`."""
    return hashlib.sha256(canonical(value)).hexdigest()


def parse(raw: bytes, *, name: str) -> Any:
    """The value of a JSON document. Raises RecordError, which names `name`.

    Refused as well as broken JSON: a key that is there twice, not-a-number and infinity, more than
    MAX_DEPTH levels, and anything but UTF-8.
    """
    try:
        text = raw.decode("utf-8")
        if _depth(text) > MAX_DEPTH:
            raise RecordError(f"{name} is nested more than {MAX_DEPTH} levels deep.", file=name)
        return json.loads(
            text, object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_float
        )
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise RecordError(f"{name} is not JSON that can be used: {error}.", file=name) from error


def plain(value: Any) -> Any:
    """`value` as it comes from a data file, made of what JSON has; equal values become equal ones.

    Not-a-number and infinity become "NaN", "Infinity" and "-Infinity", bytes their base64, times ISO 8601,
    and whatever else there is its text.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else json.dumps(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    return value.isoformat() if isinstance(value, datetime | date | time) else str(value)


def _check_keys(value: Any, depth: int) -> None:
    # json.dumps would turn 1, None and True into text, and two keys might become one.
    if depth > MAX_DEPTH:
        raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is not text")
            _check_keys(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_keys(item, depth + 1)


def _depth(text: str) -> int:
    """How deep brackets are nested, an upper bound where some stand inside strings."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0
    deepest = depth = 0
    is_text = is_escaped = False
    for char in text:
        if is_text:
            is_text = is_escaped or char != '"'
            is_escaped = char == "\\" and not is_escaped
        elif char == '"':
            is_text = True
        elif char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]}":
            depth -= 1
    return deepest


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return value


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a number of JSON")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large")
    return value
