"""The page face of a refusal."""

from __future__ import annotations

from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from llmos.app.headers import PAGE_HEADERS
from llmos.core.errors import LlmosError


def render_error_page(request: Request, error: LlmosError) -> Response:
    """A page that says what happened and what to do next; visitors see private things as missing."""
    status = 404 if error.code == "RepoNotFound" else error.status
    return HTMLResponse(f"<h1>{status}</h1><p>{escape(error.message)}</p>", status, PAGE_HEADERS)
