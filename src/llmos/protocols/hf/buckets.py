"""Hub protocol: buckets, storage without history: create, list, move and delete them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core import clock
from llmos.core.errors import BadRequest
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.buckets.deletion import delete_bucket
from llmos.features.buckets.models import Bucket
from llmos.features.buckets.policy import access_bucket, bucket_not_found
from llmos.features.buckets.queries import list_buckets
from llmos.features.buckets.service import (
    BucketExists,
    create_bucket,
    move_bucket,
    parse_bucket_visibility,
    set_bucket_visibility,
)
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.urls import base_url
from llmos.protocols.hf.answers import JsonBody, answer, page_answer, query_int

router = Router(tags=["buckets"])

BUCKET_API = "/api/buckets/{namespace:seg}/{name:seg}"


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
    """Delete a bucket with its files; for seven days its page can bring it back."""
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
