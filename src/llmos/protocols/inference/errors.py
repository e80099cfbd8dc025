"""Refusals as the Hub's inference servers write them: `{"error": text, "error_type": kind}`."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

from llmos.core.errors import LlmosError
from llmos.protocols.openai.errors import error_headers

_KINDS = {400: "validation", 413: "validation", 422: "validation", 429: "overloaded", 503: "overloaded"}


def error_body(error: LlmosError) -> dict[str, Any]:
    body: dict[str, Any] = {"error": str(error.message)}
    kind = "generation" if error.status == 500 else _KINDS.get(error.status)
    return body | {"error_type": kind} if kind else body


def render(error: LlmosError, headers: dict[str, str]) -> Response:
    """The refusal as an answer, with the Hub's own headers beside when to come back."""
    return Response(
        orjson.dumps(error_body(error)),
        error.status,
        headers | error_headers(error),
        media_type="application/json",
    )
