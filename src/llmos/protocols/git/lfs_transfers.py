"""The signed addresses LFS bytes go to and come from: `/-/lfs/…`."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import Query, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from llmos.core.errors import BadRequest, NotFound, Unprocessable
from llmos.features.repos.claims import check_room, claim, get_claim
from llmos.features.repos.files import open_large_file
from llmos.features.repos.models import Repo
from llmos.features.storage.models import LfsObject
from llmos.features.storage.multipart import (
    PartPlan,
    access_upload,
    complete_upload,
    drop_upload,
    receive_part,
)
from llmos.features.storage.objects import Quarantined, put_lfs_object
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.bodies import check_content_length, received_file
from llmos.infra.web.deps import RuntimeDep, run_read
from llmos.infra.web.files import Content, ContentResponse
from llmos.infra.web.lazy_routes import Router
from llmos.protocols.git.lfs_common import (
    LfsMessage,
    VerifyRequest,
    check_verified,
    lfs_response,
    read_message,
)
from llmos.protocols.git.lfs_links import read_link

_NUMBER = re.compile(r"[1-9][0-9]{0,5}\Z", re.ASCII)
Token = Annotated[str | None, Query(description="The signature the batch answer put into the link.")]

router = Router(prefix="/-/lfs", tags=["lfs"])


class CompletedPart(LfsMessage):
    part_number: int = Field(alias="partNumber", ge=1)
    etag: str


class CompleteRequest(LfsMessage):
    oid: str
    parts: list[CompletedPart] = Field(max_length=100_000)


def _check_upload(rt: Runtime, repo_id: int, adding_bytes: int) -> None:
    with rt.database.reading() as db:
        repo = db.get(Repo, repo_id)
        if repo is None:
            raise NotFound(lazy("The repository of this upload was deleted."))
        check_room(db, rt.settings, repo.namespace, adding_bytes)


def _claim(rt: Runtime, repo_id: int, oid: str, size_bytes: int) -> None:
    with rt.database.writing() as db:
        repo = db.get(Repo, repo_id)
        if repo is None:
            raise NotFound(lazy("The repository of this upload was deleted."))
        if get_claim(db, repo_id, oid) is None:
            check_room(db, rt.settings, repo.namespace, size_bytes)
        claim(db, repo, oid, size_bytes)


@router.put("/upload/{oid:seg}")
async def upload_object(oid: str, request: Request, rt: RuntimeDep, token: Token = None) -> Response:
    """Take one object; 200 once it is verified, durable and claimed by the repository."""
    link = read_link(rt, "lfs-upload", token, o=oid)
    size_bytes: int = link["s"]
    check_content_length(request.headers, size_bytes)
    await run_in_threadpool(_check_upload, rt, link["r"], size_bytes)
    async with received_file(request.receive, rt.settings.tmp_root, expected_bytes=size_bytes) as file:

        def store() -> None:
            # Asked again before the bytes are kept: others may have filled the quota meanwhile.
            _check_upload(rt, link["r"], size_bytes)
            put_lfs_object(rt, file.path, oid, size_bytes, sha256=file.sha256)
            _claim(rt, link["r"], oid, size_bytes)

        await run_in_threadpool(store)
    return Response(None, 200)


@router.put("/part/{upload_key:seg}/{number:seg}")
async def upload_part(
    upload_key: str, number: str, request: Request, rt: RuntimeDep, token: Token = None
) -> Response:
    """Take one part of a multipart upload; the ETag is to be listed at completion."""
    if not _NUMBER.match(number):
        raise BadRequest(lazy("The part number must be 1 or more."))
    read_link(rt, "lfs-part", token, k=upload_key, n=int(number))
    upload = await run_read(rt, lambda db: access_upload(db, upload_key))
    plan = PartPlan(upload.size_bytes, upload.part_bytes)
    plan.check_number(int(number))
    check_content_length(request.headers, plan.length(int(number)))
    await run_in_threadpool(_check_upload, rt, upload.scope_id, upload.size_bytes)
    etag = await receive_part(rt, upload, int(number), request.receive)
    return Response(None, 200, {"ETag": f'"{etag}"'})


@router.post("/complete/{upload_key:seg}")
async def complete(upload_key: str, request: Request, rt: RuntimeDep, token: Token = None) -> Response:
    """Join the parts; a repeated call after success succeeds again."""
    link = read_link(rt, "lfs-complete", token, k=upload_key)
    asked = await read_message(request, CompleteRequest)
    if asked.oid != link["o"]:
        raise Unprocessable(lazy("oid is not the object this upload was started for."))
    parts = {part.part_number: part.etag for part in asked.parts}
    await run_in_threadpool(_complete, rt, upload_key, link, parts)
    return lfs_response({})


def _complete(rt: Runtime, upload_key: str, link: dict[str, Any], parts: dict[int, str]) -> None:
    repo_id, oid, size_bytes = link["r"], link["o"], link["s"]
    with rt.database.reading() as db:
        if get_claim(db, repo_id, oid) is not None:
            return
        upload = access_upload(db, upload_key)
    _check_upload(rt, repo_id, size_bytes)
    complete_upload(rt, upload, parts)
    _claim(rt, repo_id, oid, size_bytes)
    drop_upload(rt, upload)


@router.post("/verify/{oid:seg}")
async def verify_object(oid: str, request: Request, rt: RuntimeDep, token: Token = None) -> Response:
    """Confirm that the repository now has the object."""
    link = read_link(rt, "lfs-verify", token, o=oid)
    asked = await read_message(request, VerifyRequest)
    if asked.oid != oid:
        raise Unprocessable(lazy("oid is not the object of this link."))
    found = await run_read(rt, lambda db: get_claim(db, link["r"], oid))
    return check_verified(asked, found.size_bytes if found else None)


@router.api_route("/download/{oid:seg}", methods=["GET", "HEAD"])
async def download_object(oid: str, request: Request, rt: RuntimeDep, token: Token = None) -> Response:
    """The object's bytes, whole or one range, while the repository still claims it."""
    link = read_link(rt, "lfs-download", token, o=oid)
    content = await run_in_threadpool(_content, rt, link["r"], oid)
    headers = {"Cache-Control": "private, max-age=31536000, immutable"}
    return ContentResponse(request, content, headers=headers)


def _content(rt: Runtime, repo_id: int, oid: str) -> Content:
    with rt.database.reading() as db:
        repo = db.get(Repo, repo_id)
        if repo is None:
            raise NotFound(lazy("The repository of this link was deleted."))
        stored = db.get(LfsObject, oid)
        if stored is not None and stored.quarantined_at is not None:
            raise Quarantined(oid)
        large = open_large_file(db, rt, repo, oid)
    return Content(
        size_bytes=large.size_bytes,
        etag=oid,
        path=large.local_path,
        stream=lambda start, end: large.stream(rt, start, end),
    )
