"""Fields of a body, typed: absent and null mean the same, anything wrong is refused by its name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from starlette.requests import Request

from llmos.core.errors import BadRequest, TooLarge
from llmos.infra.web.bodies import read_body
from llmos.protocols.openai.errors import refuse

MAX_BODY_BYTES = 4 << 20
# The JSON writer gives up at 254 levels, and the call wraps the body in some of its own.
MAX_DEPTH = 128
_INT64 = 1 << 63


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object of a request. TooLarge before a byte of too long a body is read; BadRequest."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > 18 or int(announced) > MAX_BODY_BYTES):
        raise TooLarge(
            f"The body holds {announced} bytes; at most {MAX_BODY_BYTES} are read. Send less text at once."
        )
    data = await read_body(request.receive, limit_bytes=MAX_BODY_BYTES)
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body must be JSON: {error}.", code="invalid_json") from error
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object.", code="invalid_json")
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        _check_depth(value)
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            below += item.values() if isinstance(item, dict) else item
        level = [item for item in below if isinstance(item, dict | list)]
        if not level:
            return
    raise BadRequest(f"The body is nested deeper than {MAX_DEPTH} levels: make it flatter.")


def _name_of(value: Any) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "a list"}
    return "null" if value is None else names.get(type(value), "an object")


class Fields:
    """A JSON object whose fields are asked for by type; `place` stands before their names in refusals."""

    __slots__ = ("data", "place")

    def __init__(self, data: Mapping[str, Any], place: str = "") -> None:
        self.data = data
        self.place = place

    def get(self, name: str) -> Any:
        return self.data.get(name)

    def wrong(self, name: str, wanted: str) -> BadRequest:
        """The refusal of a value of another type, to be raised."""
        param = self.place + name
        message = f"{param}: this must be {wanted}, not {_name_of(self.data.get(name))}."
        return BadRequest(message, code="invalid_type", data={"param": param})

    def text(self, name: str, default: str | None = None, limit: int = MAX_BODY_BYTES) -> str | None:
        value = self.data.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.wrong(name, "a text")
        if len(value) > limit:
            refuse(self.place + name, f"{len(value)} characters are too many; at most {limit}.")
        return value

    def needed_text(self, name: str, limit: int = MAX_BODY_BYTES) -> str:
        value = self.text(name, None, limit)
        if not value:
            refuse(
                self.place + name, "this field is missing; it must be a text.", "missing_required_parameter"
            )
        return value

    def flag(self, name: str) -> bool:
        value = self.data.get(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def integer(self, name: str, low: int = -_INT64, high: int = _INT64 - 1) -> int | None:
        value = self.data.get(name)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer() and abs(value) < _INT64:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(name, "a whole number")
        self._check_range(name, value, low, high)
        return value

    def number(self, name: str, low: float, high: float, *, above: bool = False) -> float | None:
        """Between `low` and `high`; with `above`, not `low` itself."""
        value = self.data.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.wrong(name, "a number")
        self._check_range(name, value, low, high, above=above)
        return float(value)

    def _check_range(self, name: str, value: float, low: float, high: float, *, above: bool = False) -> None:
        if value < low or value > high or (above and value == low):
            least = f"above {low}" if above else f"at least {low}"
            refuse(self.place + name, f"{value} is out of range; it must be {least} and at most {high}.",
                   "integer_below_min_value" if value <= low else "integer_above_max_value")  # fmt: skip

    def choice(self, name: str, allowed: Sequence[str]) -> str | None:
        value = self.text(name)
        if value is not None and value not in allowed:
            refuse(self.place + name, f"{value[:60]!r} is not one of {', '.join(allowed)}.")
        return value

    def items(self, name: str, limit: int) -> list[Any] | None:
        value = self.data.get(name)
        if value is None:
            return None
        if not isinstance(value, list):
            raise self.wrong(name, "a list")
        if len(value) > limit:
            refuse(
                self.place + name,
                f"{len(value)} items are too many; at most {limit}.",
                "array_above_max_length",
            )
        return value

    def object(self, name: str) -> dict[str, Any] | None:
        value = self.data.get(name)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(name, "an object")
        return value

    def texts(self, name: str, limit: int) -> list[str]:
        """A list of texts, or one text by itself; empty ones are left out."""
        value = self.data.get(name)
        if isinstance(value, str):
            return [value] if value else []
        found = self.items(name, limit) or []
        if not all(isinstance(item, str) for item in found):
            raise self.wrong(name, "a text or a list of texts")
        return [item for item in found if item]
