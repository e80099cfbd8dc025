"""The page face of a refusal."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from llmos.core.errors import LlmosError
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import load_actor
from llmos.features.auth.page_context import page_context
from llmos.infra.web.deps import get_runtime
from llmos.infra.web.page_headers import PAGE_HEADERS
from llmos.ui.render import PageContext, render


def render_error_page(request: Request, error: LlmosError) -> Response:
    """A page that says what happened and what to do next; visitors see private things as missing."""
    is_hidden = error.code == "RepoNotFound"
    status = 404 if is_hidden else error.status
    context = {
        "status": status,
        "code": error.code,
        "message": "" if is_hidden or status >= 500 or error.code == "NotFound" else error.message,
        "reference": request.scope.get("request_id", "") if status >= 500 else "",
    }
    return HTMLResponse(render("error.html", context, _page(request)), status, PAGE_HEADERS)


def _page(request: Request) -> PageContext:
    """The reader's own language and name; a plain page where the application itself is not up."""
    if "app" not in request.scope:
        return PageContext(path=request.scope["path"])
    try:
        return page_context(request, _actor(request))
    except LlmosError:
        return PageContext(path=request.scope["path"])


def _actor(request: Request) -> Actor:
    known: Actor | None = getattr(request.state, "actor", None)
    if known is not None:
        return known
    with get_runtime(request).database.reading() as db:
        return load_actor(db, request)
