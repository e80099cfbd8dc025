"""Answers and small bodies of Hub routes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import orjson
from fastapi import Depends, Request
from starlette.responses import Response

from llmos.core.errors import BadRequest
from llmos.core.pagination import Page
from llmos.infra.settings import Settings
from llmos.infra.web.bodies import read_body
from llmos.protocols.hf.links import next_link

MAX_JSON_BYTES = 8 * 1024 * 1024


def answer(value: Any, *, headers: Mapping[str, str] | None = None, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, dict(headers or {}), media_type="application/json")


def page_answer(request: Request, settings: Settings, page: Page[Any]) -> Response:
    """A list with a `Link` to the next page, if there is one; never on the last page."""
    headers = next_link(request, settings, {"cursor": page.next_cursor}) if page.next_cursor else {}
    return answer(page.items, headers=headers)


async def _json_object(request: Request) -> dict[str, Any]:
    data = await read_body(request.receive, limit_bytes=MAX_JSON_BYTES)
    if not data.strip():
        return {}
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The request body must be JSON: {error}.") from error
    if not isinstance(value, dict):
        raise BadRequest("The request body must be a JSON object.")
    return value


# Also of DELETE, where some of the client's calls carry one. Declare it after the actor, so that
# a refused credential costs no reading.
JsonBody = Annotated[dict[str, Any], Depends(_json_object)]


def text_of(body: Mapping[str, Any], field: str, *, limit: int = 500) -> str:
    """A required text; BadRequest names the field."""
    value = body.get(field)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"{field} is missing: it must be a text.")
    return _checked(value, field, limit)


def optional_text(body: Mapping[str, Any], field: str, *, limit: int = 500) -> str | None:
    """A text, or None where it is absent, null or empty."""
    value = body.get(field)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise BadRequest(f"{field} must be a text.")
    return _checked(value, field, limit)


def _checked(value: str, field: str, limit: int) -> str:
    if len(value) > limit:
        raise BadRequest(f"{field} is too long: at most {limit} characters.")
    if "\0" in value:
        raise BadRequest(f"{field} contains a NUL character: leave it out.")
    return value


def list_of(body: Mapping[str, Any], field: str, *, limit: int) -> list[Any]:
    """A required list; BadRequest names the field."""
    value = body.get(field)
    if not isinstance(value, list):
        raise BadRequest(f"{field} is missing: it must be a list.")
    if len(value) > limit:
        raise BadRequest(f"{field} holds {len(value)} items: send at most {limit} at once.")
    return value


def query_list(request: Request, *names: str, split: bool = False) -> list[str]:
    """All values of a repeated parameter, also as `name[]`; with `split`, commas separate, too."""
    found: list[str] = []
    for name in names:
        for key in (name, f"{name}[]"):
            found += request.query_params.getlist(key)
    if split:
        found = [part for value in found for part in value.split(",")]
    return [value for value in found if value]


def query_flag(request: Request, name: str) -> bool | None:
    """`true`/`false` (also 1/0); None where the parameter is absent. BadRequest otherwise."""
    value = request.query_params.get(name)
    if value is None or value == "":
        return None
    known = {"true": True, "1": True, "false": False, "0": False}
    if value.lower() not in known:
        raise BadRequest(f"{name} must be true or false, not {value!r}.")
    return known[value.lower()]


def query_int(request: Request, name: str) -> int | None:
    value = request.query_params.get(name)
    if value is None or value == "":
        return None
    if not value.isascii() or not value.lstrip("-").isdecimal() or len(value) > 12:
        raise BadRequest(f"{name} must be a whole number, not {value[:50]!r}.")
    return int(value)


def drop_none(value: dict[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if item is not None}


def strings(values: Sequence[Any], field: str) -> list[str]:
    for value in values:
        if not isinstance(value, str):
            raise BadRequest(f"{field} must hold texts only.")
    return list(values)
