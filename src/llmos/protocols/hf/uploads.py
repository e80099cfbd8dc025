"""Hub protocol: files dragged into a comment; and the addresses they are served at."""

from __future__ import annotations

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response

from llmos.core.errors import BadRequest
from llmos.features.auth.edge import ActorDep
from llmos.features.discussions.uploads import (
    access_upload,
    check_can_upload,
    check_media_type,
    check_size,
    store_upload,
)
from llmos.infra.i18n import lazy
from llmos.infra.web.bodies import read_body
from llmos.infra.web.deps import ReadDb, RuntimeDep, run_read
from llmos.infra.web.files import ContentResponse, object_content
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.urls import base_url

router = Router(tags=["discussions"])

_HEADERS = {
    # Opened on its own, an upload must not be able to act as a page of this site.
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Content-Disposition": "inline",
    "Cache-Control": "public, max-age=31536000, immutable",
}


@router.post("/uploads")
async def upload_attachment(request: Request, rt: RuntimeDep, actor: ActorDep) -> Response:
    """Raw bytes of a picture, film or sound; the answer is the text of their address."""
    await run_read(rt, lambda db: check_can_upload(db, actor))
    kind = check_media_type(request.headers.get("content-type", ""))
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or len(announced) > 18:
        raise BadRequest(lazy("Content-Length must be a whole number of bytes."))
    check_size(kind, int(announced))
    data = await read_body(request.receive, limit_bytes=kind.limit_bytes)
    path = await run_in_threadpool(store_upload, rt, actor, kind, data)
    return PlainTextResponse(base_url(request, rt.settings) + path)


@router.api_route("/-/uploads/{file:seg}", methods=["GET", "HEAD"], include_in_schema=False)
def get_upload(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, file: str) -> Response:
    """The bytes, with a type that no browser takes for a page or script."""
    found = access_upload(db, rt, file)
    content = object_content(rt.objects, found.key, found.size_bytes, found.sha256)
    return ContentResponse(request, content, headers=_HEADERS, media_type=found.media_type)
