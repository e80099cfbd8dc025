"""Refusals in the shape the clients of this API read: `{"error": {message, type, param, code}}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn

import orjson
from starlette.responses import Response

from llmos.core.errors import BadRequest, LlmosError

# Our codes that have another name in this API; "" where it gives none.
_CODES = {
    "BadRequest": "",
    "InternalError": "",
    "InvalidCredentials": "invalid_api_key",
    "ModelNotFound": "model_not_found",
    "RepoNotFound": "model_not_found",
    "RevisionNotFound": "model_not_found",
    "TooLarge": "request_too_large",
    "TooManyRequests": "rate_limit_exceeded",
    "Unauthenticated": "invalid_api_key",
}
_TYPES = {403: "permission_error", 429: "rate_limit_error"}
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def refuse(param: str | None, message: str, code: str = "invalid_value") -> NoReturn:
    """Refuse a field (BadRequest); the message starts with its name."""
    said = f"{param}: {message}" if param else message
    raise BadRequest(said, code=code, data={"param": param})


def refusal_of(frame: Mapping[str, Any]) -> LlmosError:
    """The engine's `error` frame as a refusal."""
    status = frame.get("status")
    if not isinstance(status, int) or not 400 <= status < 600:
        status = 500
    param = frame.get("param")
    if isinstance(param, str) and param.startswith("grammar"):
        param = "response_format"  # as the engine's field is called here
    data = dict(frame.get("data") or {}) | {"param": param}
    return LlmosError(str(frame.get("message") or "The engine failed."), code=str(frame.get("code") or ""),
                      status=status, data=data)  # fmt: skip


def error_code(error: LlmosError) -> str | None:
    """`context_length_exceeded`; None for a refusal that needs no name of its own."""
    known = _CODES.get(error.code)
    return (_HUMP.sub("_", error.code).lower() if known is None else known) or None


def error_object(error: LlmosError) -> dict[str, Any]:
    status = error.status
    kind = _TYPES.get(status) or ("server_error" if status >= 500 else "invalid_request_error")
    code = error_code(error)
    param = "model" if code == "model_not_found" else error.data.get("param")
    return {"message": str(error.message), "type": kind, "param": param, "code": code}


def error_headers(error: LlmosError) -> dict[str, str]:
    """When to come back, and what is left of a limit, in this API's own words."""
    after = error.data.get("retry_after_s", error.data.get("retry_after"))
    if after is None and error.status == 429:
        after = 60
    out = {"Retry-After": str(max(1, round(float(after))))} if after is not None else {}
    limit = error.data.get("limit")
    if error.status == 429 and isinstance(limit, int):
        kind = str(error.data.get("limit_kind", "requests"))
        out[f"x-ratelimit-limit-{kind}"] = str(limit)
        out[f"x-ratelimit-remaining-{kind}"] = "0"
        out[f"x-ratelimit-reset-{kind}"] = f"{out['Retry-After']}s"
    if error.status == 401:
        out["WWW-Authenticate"] = "Bearer"
    return out


def render(error: LlmosError) -> Response:
    """The refusal as an answer of its own."""
    body = orjson.dumps({"error": error_object(error)})
    return Response(body, error.status, error_headers(error), media_type="application/json")


def error_event(error: LlmosError, name: bytes = b"") -> bytes:
    """The refusal inside a stream that has begun; the client raises at it."""
    data = b"data: %s\n\n" % orjson.dumps({"error": error_object(error)})
    return b"event: %s\n%s" % (name, data) if name else data
