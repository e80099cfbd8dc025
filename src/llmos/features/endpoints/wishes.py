"""What somebody wants of an endpoint, checked field by field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmos.core.errors import BadRequest
from llmos.core.names import check_repo_name
from llmos.features.endpoints.policy import ACCESSES
from llmos.infra.i18n import lazy

ENGINES = ("", "transformers", "llama.cpp", "vllm")
MAX_REPLICAS = 16
MAX_ALLOWED = 200
MAX_CONTEXT_TOKENS = 10_000_000
_DTYPES = ("auto", "float32", "bfloat16", "float16")
# Numbers: field -> (least, most).
_NUMBERS: dict[str, tuple[int, int]] = {
    "min_replicas": (0, MAX_REPLICAS),
    "max_replicas": (1, MAX_REPLICAS),
    "idle_s": (0, 30 * 86400),
    "rate_per_minute": (0, 1_000_000),
    "tokens_per_day": (0, 10**12),
    "gpus": (0, 16),
    "memory_bytes": (0, 2**50),
}


@dataclass(frozen=True, slots=True)
class Wish:
    """Fields somebody named; the others stay as they are. `columns` are those of the table."""

    columns: dict[str, Any]
    spec: dict[str, Any]


def parse_wish(body: Mapping[str, Any]) -> Wish:
    """Raises BadRequest that names the field."""
    columns: dict[str, Any] = {}
    for field, (low, high) in _NUMBERS.items():
        if body.get(field) is not None:
            columns[field] = _number(field, body[field], low, high)
    if body.get("access") is not None:
        columns["access"] = _one_of("access", body["access"], ACCESSES)
    if body.get("allowed") is not None:
        columns["allowed"] = _names(body["allowed"])
    if body.get("engine") is not None:
        columns["engine"] = _one_of("engine", body["engine"], ENGINES)
    least, most = columns.get("min_replicas", 0), columns.get("max_replicas", MAX_REPLICAS)
    if least > most:
        raise _bad(
            "max_replicas", lazy("max_replicas must not be less than min_replicas (%(least)d).", least=least)
        )
    return Wish(columns, _spec(body))


def _spec(body: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if body.get("dtype") is not None:
        found["dtype"] = _one_of("dtype", body["dtype"], _DTYPES)
    if body.get("max_context_tokens") is not None:
        found["max_context_tokens"] = _number(
            "max_context_tokens", body["max_context_tokens"], 0, MAX_CONTEXT_TOKENS
        )
    if body.get("file") is not None:
        if not isinstance(body["file"], str) or len(body["file"]) > 1000:
            raise _bad("file", lazy("file must be the path of a file in the repository."))
        found["file"] = body["file"]
    return found


def check_endpoint_name(name: Any) -> str:
    """A name of letters, digits, dots, dashes and underscores. Raises BadRequest."""
    if not isinstance(name, str) or "/" in name:
        raise _bad("name", lazy("name must be a text without a slash, such as tiny-chat."))
    return check_repo_name(name, field="name")


def _bad(field: str, message: str) -> BadRequest:
    return BadRequest(message, data={"field": field})


def _number(field: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, str) and value.strip().isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise _bad(
            field,
            lazy("%(field)s must be a number from %(low)s to %(high)s.", field=field, low=low, high=high),
        )
    return int(value)


def _one_of(field: str, value: Any, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise _bad(
            field,
            lazy(
                "%(field)s must be one of: %(choices)s.",
                field=field,
                choices=", ".join(filter(None, choices)),
            ),
        )
    return str(value)


def _names(value: Any) -> list[str]:
    names = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(one, str) and 0 < len(one) <= 200 for one in names):
        raise _bad("allowed", lazy("allowed must be a list of names of people and organisations."))
    if len(names) > MAX_ALLOWED:
        raise _bad("allowed", lazy("allowed holds at most %(count)d names.", count=MAX_ALLOWED))
    return list(dict.fromkeys(names))
