"""How to read files, and the chunks themselves (Xet protocol, download)."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import Query, Request
from starlette.responses import Response

from llmos.core.errors import Forbidden, LlmosError, NotFound, RangeNotSatisfiable
from llmos.features.storage.xet.dedup import answer_dedup, knows_chunk
from llmos.features.storage.xet.reading import access_stored_file
from llmos.features.storage.xet.tables import TableCache, layout_of, xorb_key
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import RuntimeDep
from llmos.infra.web.files import ContentResponse, object_content
from llmos.infra.web.ranges import parse_range
from llmos.infra.web.urls import base_url
from llmos.infra.xet.hashes import XetHash, from_hex, to_hex
from llmos.infra.xet.ranges import (
    PackedRange,
    Reconstruction,
    plan_range,
    reconstruction_v1,
    reconstruction_v2,
)
from llmos.protocols.xet.reach import check_reachable
from llmos.protocols.xet.rights import access_now, access_scope, confirm
from llmos.protocols.xet.tokens import XetAccess

# Clients answer a refused link by asking for the reconstruction again.
LINK_TTL_S = 900
_DATA = "xet data"


def get_reconstruction_v1(request: Request, rt: RuntimeDep, file_hash: str) -> Response:
    """How to make a range of a file out of chunks, with a link for each run of them."""
    links = _DataLinks(request, rt)
    return _json(reconstruction_v1(_plan(request, rt, file_hash, links), links))


def get_reconstruction_v2(request: Request, rt: RuntimeDep, file_hash: str) -> Response:
    """The same in the shape that newer clients ask for."""
    links = _DataLinks(request, rt)
    return _json(reconstruction_v2(_plan(request, rt, file_hash, links), links))


def _json(value: dict[str, Any]) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


def _plan(request: Request, rt: Runtime, file_hash: str, links: _DataLinks) -> Reconstruction:
    """The plan for the request's range. RangeNotSatisfiable past the end, which clients that do
    not know a file's size rely on; NotFound for files of other repositories."""
    access = links.access
    from_hex(file_hash)
    with rt.database.reading() as db:
        check_reachable(db, rt, access, file_hash)
    file = access_stored_file(rt, file_hash)
    span = parse_range(request.headers.get("range"), file.size_bytes)
    start, end = span or (0, file.size_bytes)
    return plan_range(file.terms, links.tables, start, end)


class _DataLinks:
    """Makes the link for one run of chunks. No token comes with a data request, so the link itself
    says, signed, which bytes of which object it opens, until when, and by whose rights."""

    def __init__(self, request: Request, rt: Runtime) -> None:
        self._rt = rt
        self._host = base_url(request, rt.settings)
        self._layouts: dict[XetHash, str] = {}
        self.access = access_now(rt, request)
        self.tables = TableCache(rt.database)

    def __call__(self, xorb: XetHash, fetch: PackedRange) -> str:
        if xorb not in self._layouts:
            self._layouts[xorb] = layout_of(self.tables(xorb).blob)
        name = to_hex(xorb)
        opened = {"x": name, "l": self._layouts[xorb], "a": fetch.byte_start, "e": fetch.byte_end}
        token = self._rt.signer.sign(_DATA, self.access.to_payload() | opened, ttl_s=LINK_TTL_S)
        return f"{self._host}/cas/data/{name}?t={token}"


def get_data(
    request: Request, rt: RuntimeDep, xorb_hash: str, t: Annotated[str, Query(max_length=1500)] = ""
) -> Response:
    """Bytes of a xorb that a link opens: 206 with exactly the range asked for.

    403 for a forged or expired link makes clients ask for the reconstruction again, which tells
    them why where the rights behind the link have ended.
    """
    opened = rt.signer.verify(_DATA, t) if t.isascii() else None
    if opened is None or opened["x"] != xorb_hash:
        raise Forbidden("This data link is not valid or has expired: ask for the reconstruction again.")
    try:
        confirm(rt, XetAccess.from_payload(opened))
    except LlmosError as error:
        raise Forbidden(error.message) from error
    key = xorb_key(xorb_hash, opened["l"])
    size_bytes = rt.objects.head(key)
    if size_bytes is None:
        raise NotFound("The bytes behind this link are no longer available.")
    span = parse_range(request.headers.get("range"), size_bytes)
    if span is None or span.start < opened["a"] or span.end > opened["e"]:
        raise RangeNotSatisfiable(
            f"This link opens the bytes {opened['a']} to {opened['e'] - 1}: ask for a range within.",
            data={"size_bytes": size_bytes},
        )
    headers = {"Cache-Control": "private, max-age=3600, immutable"}
    return ContentResponse(request, object_content(rt.objects, key, size_bytes), headers=headers)


def get_chunk(request: Request, rt: RuntimeDep, chunk_hash: str) -> Response:
    """Whether the writer's namespace has this chunk: a keyed shard that tells where, or 404."""
    _, scope_id = access_scope(rt, request)
    from_hex(chunk_hash)
    with rt.database.reading() as db:
        is_known = knows_chunk(db, chunk_hash, scope_id)
    shard = None
    if is_known:
        with rt.database.writing() as db:
            shard = answer_dedup(db, rt, chunk_hash, scope_id)
    if shard is None:
        raise NotFound("This chunk is not stored.")
    return Response(shard, media_type="application/octet-stream")
