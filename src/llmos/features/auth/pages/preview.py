"""`/-/preview`: what Markdown being written will look like, by the rules for what is posted."""

from __future__ import annotations

import re

from fastapi.responses import HTMLResponse, Response
from starlette.requests import Request

from llmos.core.errors import BadRequest, TooLarge
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import PageForm, page_context, render_page
from llmos.features.auth.texts import render_text
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.urls import base_url
from llmos.ui.markdown import MAX_CHARS
from llmos.ui.render import render

router = Router()
# The frame has no origin, may run the scripts of this site and reach nothing.
_DIAGRAM_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src {origin}; style-src 'unsafe-inline'; img-src data:; "
        "frame-ancestors 'self'; base-uri 'none'; form-action 'none'; sandbox allow-scripts"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-cache",
}
_CONTEXT = re.compile(r"(?:/[\w.-]{1,100}){2,3}")
_FRONT_MATTER = re.compile(r"\A---\r?\n.*?^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_FIELD = re.compile(r"[a-z_]{1,40}")


@router.get("/-/diagram", response_class=HTMLResponse, include_in_schema=False)
def show_diagram_frame(request: Request, rt: RuntimeDep) -> Response:
    """The sandbox in which diagrams of user text are drawn; it shows nothing itself."""
    origin = f"'self' {base_url(request, rt.settings)}"
    headers = {name: value.format(origin=origin) for name, value in _DIAGRAM_HEADERS.items()}
    return HTMLResponse(render("diagram.html", {}, page_context(request)), headers=headers)


@router.post("/-/preview", response_class=HTMLResponse, include_in_schema=False)
def post_preview(request: Request, db: ReadDb, actor: ActorDep, form: PageForm) -> Response:
    """The text of field `?field=` as HTML: a part of a page for scripts, a page of its own otherwise."""
    field = request.query_params.get("field", "text")
    context = request.query_params.get("context", "")
    if not _FIELD.fullmatch(field):
        raise BadRequest(lazy("field must be the name of a form field."))
    if context and not _CONTEXT.fullmatch(context):
        raise BadRequest(lazy("context must be the path of a repository."))
    text = form.text(field, strip=False)
    if len(text) > MAX_CHARS:
        message = lazy("This text is too long to preview: at most %(limit)s characters.", limit=MAX_CHARS)
        raise TooLarge(message)
    rendered = render_text(db, _FRONT_MATTER.sub("", text), context)
    if request.headers.get("hx-request"):
        page = page_context(request, actor)
        return HTMLResponse(render("preview_part.html", {"rendered": rendered}, page))
    return render_page(request, actor, "preview.html", {"rendered": rendered})
