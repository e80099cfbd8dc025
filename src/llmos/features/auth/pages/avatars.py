"""Pictures of people and organisations under `/avatars/`."""

from __future__ import annotations

from starlette.responses import Response

from llmos.core.errors import NotFound
from llmos.features.accounts.avatars import CONTENT_TYPES, draw_avatar
from llmos.features.accounts.policy import get_namespace
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.lazy_routes import Router

router = Router(include_in_schema=False)

_HEADERS = {
    # A picture opened on its own must not be able to act as a page of this site.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


@router.get("/avatars/{file:seg}")
def get_avatar(rt: RuntimeDep, db: ReadDb, file: str) -> Response:
    """The drawn picture of any name (`.svg`), or the uploaded one of a person or organisation."""
    name, _, extension = file.rpartition(".")
    if not name or len(name) > 96:
        raise NotFound(lazy("There is no such picture."))
    if extension == "svg":
        headers = _HEADERS | {"Cache-Control": "public, max-age=604800"}
        return Response(draw_avatar(name), headers=headers, media_type="image/svg+xml")
    namespace = get_namespace(db, name)
    key = namespace.avatar_key if namespace else None
    if not key or not key.endswith(f".{extension}") or rt.objects.head(key) is None:
        raise NotFound(lazy("There is no such picture."))
    # The address holds a hash of the content, so a new picture has a new address.
    headers = _HEADERS | {"Cache-Control": "public, max-age=86400"}
    return Response(rt.objects.read(key), headers=headers, media_type=CONTENT_TYPES[extension])
