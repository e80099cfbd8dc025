"""Hub protocol: buckets, storage without history."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import orjson
from fastapi import APIRouter, Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core import clock
from llmos.core.errors import BadRequest
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep, resolve_actor
from llmos.features.buckets.batch import (
    MAX_OPERATIONS,
    BatchReport,
    DeleteFile,
    Operation,
    PutFile,
    apply_batch,
)
from llmos.features.buckets.models import Bucket, BucketFile
from llmos.features.buckets.policy import access_bucket, bucket_not_found, check_write
from llmos.features.buckets.queries import (
    BucketFolder,
    access_file,
    file_content,
    get_files,
    list_buckets,
    list_tree,
)
from llmos.features.buckets.service import (
    BucketExists,
    create_bucket,
    delete_bucket,
    move_bucket,
    parse_bucket_visibility,
    set_bucket_visibility,
)
from llmos.features.repos.claims import check_room
from llmos.infra.runtime import Runtime
from llmos.infra.web.bodies import read_body
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb, run_read, run_write
from llmos.infra.web.files import ContentResponse, content_disposition
from llmos.infra.web.media import USER_FILE_HEADERS, safe_media_type
from llmos.infra.web.urls import base_url
from llmos.protocols.hf.answers import (
    JsonBody,
    answer,
    drop_none,
    list_of,
    page_answer,
    query_flag,
    query_int,
    strings,
)
from llmos.protocols.hf.xet_tokens import connection_answer
from llmos.protocols.xet.tokens import XetAccess, connect

router = APIRouter(tags=["buckets"])

BUCKET_API = "/api/buckets/{namespace:seg}/{name:seg}"
MAX_PATHS = 1000
MAX_BATCH_BYTES = 8 * 1024 * 1024
_MAX_MTIME_MS = 253_402_300_799_000  # the end of the year 9999


def bucket_url(request: Request, rt: Runtime, bucket_name: str) -> str:
    return f"{base_url(request, rt.settings)}/buckets/{bucket_name}"


@contextmanager
def _naming_the_holder(request: Request, rt: Runtime) -> Iterator[None]:
    """A 409 also carries `url` of the bucket that holds the name: clients with `exist_ok` read it."""
    try:
        yield
    except BucketExists as error:
        error.data = {"url": bucket_url(request, rt, error.data["bucket_name"])}
        raise


def _bucket_json(bucket: Bucket) -> dict[str, Any]:
    return {
        "_id": bucket.object_id,
        "id": bucket.bucket_name,
        "author": bucket.namespace.name,
        "private": bucket.is_private,
        "visibility": bucket.visibility,
        "createdAt": clock.to_json(bucket.created_at),
        "updatedAt": clock.to_json(bucket.updated_at),
        "size": bucket.size_bytes,
        "totalFiles": bucket.file_count,
    }


def _entry_json(entry: BucketFile | BucketFolder) -> dict[str, Any]:
    if isinstance(entry, BucketFolder):
        return {"type": "directory", "path": entry.path}
    file = {
        "type": "file",
        "path": entry.path,
        "size": entry.size_bytes,
        "xetHash": entry.xet_hash,
        "mtime": clock.to_json(entry.mtime) if entry.mtime else None,
        "uploadedAt": clock.to_json(entry.uploaded_at),
        "contentType": entry.content_type,
    }
    return drop_none(file)


@router.get("/api/buckets/{namespace:seg}")
def get_buckets(rt: RuntimeDep, db: ReadDb, actor: ActorDep, request: Request, namespace: str) -> Response:
    """Buckets of a person or organisation; `me` for one's own."""
    query = request.query_params
    page = list_buckets(
        db,
        actor,
        namespace,
        search=query.get("search", ""),
        cursor=query.get("cursor"),
        limit=query_int(request, "limit"),
    )
    return page_answer(request, rt.settings, page.map(_bucket_json))


@router.post(BUCKET_API)
def post_bucket(
    rt: RuntimeDep,
    actor: ActorDep,
    db: WriteDb,
    request: Request,
    namespace: str,
    name: str,
    body: JsonBody,
) -> Response:
    """Create a bucket."""
    visibility = parse_bucket_visibility(body.get("visibility"), body.get("private"))
    with _naming_the_holder(request, rt):
        bucket = create_bucket(db, actor, namespace, name, visibility=visibility)
    return answer({"url": bucket_url(request, rt, bucket.bucket_name), "id": bucket.bucket_name})


@router.get(BUCKET_API)
def get_bucket_info(db: ReadDb, actor: ActorDep, namespace: str, name: str) -> Response:
    return answer(_bucket_json(access_bucket(db, actor, namespace, name)))


@router.delete(BUCKET_API)
def delete_bucket_route(db: WriteDb, actor: ActorDep, namespace: str, name: str) -> Response:
    """Delete a bucket with its files."""
    delete_bucket(db, actor, access_bucket(db, actor, namespace, name))
    return answer({})


@router.put(BUCKET_API + "/settings")
def put_bucket_settings(actor: ActorDep, db: WriteDb, namespace: str, name: str, body: JsonBody) -> Response:
    bucket = access_bucket(db, actor, namespace, name)
    visibility = parse_bucket_visibility(body.get("visibility"), body.get("private"))
    if visibility is None:
        raise BadRequest("Nothing to change: send 'private' or 'visibility'.")
    set_bucket_visibility(db, actor, bucket, visibility)
    return answer({"private": bucket.is_private, "visibility": bucket.visibility})


def answer_bucket_move(
    db: Session, rt: Runtime, actor: Actor, request: Request, from_name: str, to_name: str
) -> Response:
    """`POST /api/repos/move` with type bucket."""
    actor.require_user()
    namespace, _, name = from_name.partition("/")
    if not name:
        raise bucket_not_found(actor, from_name)
    bucket = access_bucket(db, actor, namespace, name)
    with _naming_the_holder(request, rt):
        move_bucket(db, actor, rt.settings, bucket, to_name)
    return answer({"url": bucket_url(request, rt, bucket.bucket_name), "name": bucket.bucket_name})


@router.get(BUCKET_API + "/tree")
@router.get(BUCKET_API + "/tree/{prefix:rest}")
def get_bucket_tree(
    *,
    rt: RuntimeDep,
    db: ReadDb,
    actor: ActorDep,
    request: Request,
    namespace: str,
    name: str,
    prefix: str = "",
) -> Response:
    """Files whose path begins with the prefix, and folders unless `recursive`."""
    page = list_tree(
        db,
        access_bucket(db, actor, namespace, name).id,
        prefix,
        recursive=bool(query_flag(request, "recursive")),
        cursor=request.query_params.get("cursor"),
        limit=query_int(request, "limit"),
    )
    return page_answer(request, rt.settings, page.map(_entry_json))


@router.post(BUCKET_API + "/paths-info")
def post_bucket_paths_info(
    db: ReadDb, actor: ActorDep, namespace: str, name: str, body: JsonBody
) -> Response:
    """Those of the paths that are files."""
    paths = strings(list_of(body, "paths", limit=MAX_PATHS), "paths")
    found = get_files(db, access_bucket(db, actor, namespace, name).id, paths)
    return answer([_entry_json(found[path]) for path in dict.fromkeys(paths) if path in found])


@router.post(BUCKET_API + "/batch")
async def post_bucket_batch(request: Request, rt: RuntimeDep, namespace: str, name: str) -> Response:
    """Lines of JSON: `addFile`, `copyFile` and `deleteFile`. 422 where none of them was done."""
    actor = await resolve_actor(rt, request)
    await run_read(rt, lambda db: check_write(actor, access_bucket(db, actor, namespace, name)))
    data = await read_body(request.receive, limit_bytes=MAX_BATCH_BYTES, what="The batch")
    operations = _parse_batch(data)

    def work(db: Session) -> BatchReport:
        bucket = access_bucket(db, actor, namespace, name)
        return apply_batch(db, actor, rt.settings, bucket, operations)

    report = await run_write(rt, work)
    failed = [{"path": path, "error": error} for path, error in report.failed]
    body = {
        "success": not failed,
        "processed": report.processed,
        "succeeded": report.succeeded,
        "failed": failed,
    }
    return answer(body, status=200 if report.succeeded else 422)


def _parse_batch(data: bytes) -> list[Operation]:
    lines = [line for line in data.split(b"\n") if line.strip()]
    if len(lines) > MAX_OPERATIONS:
        raise BadRequest(f"A batch has at most {MAX_OPERATIONS} lines; {len(lines)} were sent.")
    return [_parse_line(number, line) for number, line in enumerate(lines, 1)]


def _parse_line(number: int, line: bytes) -> Operation:
    try:
        item = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"Line {number} of the batch is not valid JSON: {error.msg}.") from error
    if not isinstance(item, dict):
        raise BadRequest(f"Line {number} of the batch must be a JSON object.")
    kind = item.get("type")
    path = _text(item, "path", number)
    if kind == "deleteFile":
        return DeleteFile(path)
    if kind not in ("addFile", "copyFile"):
        raise BadRequest(f"type of line {number} must be addFile, copyFile or deleteFile.")
    source = None
    if kind == "copyFile":
        source = (_text(item, "sourceRepoType", number), _text(item, "sourceRepoId", number))
    content_type = item.get("contentType")
    if content_type is not None:
        content_type = _text(item, "contentType", number)[:200]
    return PutFile(path, _text(item, "xetHash", number), _mtime(item, number), content_type, source)


def _text(item: dict[str, Any], name: str, number: int) -> str:
    value = item.get(name)
    if not isinstance(value, str) or not value or "\0" in value:
        raise BadRequest(f"{name} of line {number} must be given as text.")
    return value


def _mtime(item: dict[str, Any], number: int) -> datetime | None:
    value = item.get("mtime")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_MTIME_MS:
        raise BadRequest(f"mtime of line {number} must be milliseconds since 1970.")
    return datetime.fromtimestamp(value / 1000, UTC)


@router.get(BUCKET_API + "/xet-write-token")
def get_bucket_write_token(
    request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, namespace: str, name: str
) -> Response:
    """A token to upload files to this bucket."""
    bucket = access_bucket(db, actor, namespace, name)
    check_write(actor, bucket)
    check_room(db, rt.settings, bucket.namespace, 1)
    access = XetAccess(None, bucket.namespace_id, bucket.id)
    return connection_answer(connect(rt, base_url(request, rt.settings), access))


@router.get(BUCKET_API + "/xet-read-token")
def get_bucket_read_token(
    request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, namespace: str, name: str
) -> Response:
    """A token to read the files of this bucket."""
    bucket = access_bucket(db, actor, namespace, name)
    return connection_answer(connect(rt, base_url(request, rt.settings), XetAccess(None, None, bucket.id)))


@router.api_route("/buckets/{namespace:seg}/{name:seg}/resolve/{path:rest}", methods=["GET", "HEAD"])
def get_bucket_file(
    *, request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, namespace: str, name: str, path: str
) -> Response:
    """The bytes of a file, whole or one range, with the way to its chunks in the headers."""
    bucket = access_bucket(db, actor, namespace, name)
    file = access_file(db, bucket, path)
    is_download = request.query_params.get("download", "").lower() in ("true", "1")
    kind = "attachment" if is_download else "inline"
    token_url = f"{base_url(request, rt.settings)}/api/buckets/{quote(bucket.bucket_name)}/xet-read-token"
    headers = {
        "X-Xet-Hash": file.xet_hash,
        "Link": f'<{token_url}>; rel="xet-auth"',
        "X-Linked-Size": str(file.size_bytes),
        "X-Linked-ETag": f'"{file.xet_hash}"',
        "Last-Modified": (file.mtime or file.uploaded_at).strftime("%a, %d %b %Y %H:%M:%S GMT"),
        "Content-Disposition": content_disposition(kind, path.rpartition("/")[2]),
        **USER_FILE_HEADERS,
    }
    is_text = (file.content_type or "").startswith("text/")
    media_type = safe_media_type(path, is_text=is_text)
    return ContentResponse(request, file_content(rt, file), headers=headers, media_type=media_type)
