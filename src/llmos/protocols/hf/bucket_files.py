"""Hub protocol: the files of buckets: lists, batches, bytes, and tokens for their chunks."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core import clock
from llmos.features.auth.edge import ActorDep, resolve_actor
from llmos.features.buckets.batch import BatchReport, apply_batch
from llmos.features.buckets.models import BucketFile
from llmos.features.buckets.policy import access_bucket, check_write
from llmos.features.buckets.queries import BucketFolder, access_file, file_content, get_files, list_tree
from llmos.features.repos.claims import check_room
from llmos.infra.web.bodies import read_body
from llmos.infra.web.deps import ReadDb, RuntimeDep, run_read, run_write
from llmos.infra.web.files import ContentResponse, content_disposition
from llmos.infra.web.lazy_routes import Router
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
from llmos.protocols.hf.bucket_batch import parse_batch
from llmos.protocols.hf.buckets import BUCKET_API
from llmos.protocols.hf.xet_tokens import connection_answer
from llmos.protocols.xet.tokens import Holder, XetAccess, connect

router = Router(tags=["buckets"])

MAX_PATHS = 1000
MAX_BATCH_BYTES = 8 * 1024 * 1024


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
    operations = parse_batch(data)

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


@router.get(BUCKET_API + "/xet-write-token")
def get_bucket_write_token(
    request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, namespace: str, name: str
) -> Response:
    """A token to upload files to this bucket."""
    bucket = access_bucket(db, actor, namespace, name)
    check_write(actor, bucket)
    check_room(db, rt.settings, bucket.namespace, 1)
    access = XetAccess(None, bucket.namespace_id, bucket.id, Holder.of(actor))
    return connection_answer(connect(rt, base_url(request, rt.settings), access))


@router.get(BUCKET_API + "/xet-read-token")
def get_bucket_read_token(
    request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, namespace: str, name: str
) -> Response:
    """A token to read the files of this bucket."""
    bucket = access_bucket(db, actor, namespace, name)
    access = XetAccess(None, None, bucket.id, Holder.of(actor))
    return connection_answer(connect(rt, base_url(request, rt.settings), access))


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
