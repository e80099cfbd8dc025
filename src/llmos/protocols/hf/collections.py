"""Hub protocol: collections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core import clock
from llmos.core.errors import BadRequest
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.avatars import avatar_url
from llmos.features.auth.edge import ActorDep
from llmos.features.collections.items import add_item, delete_item, update_item
from llmos.features.collections.models import NOTE_CHARS, Collection
from llmos.features.collections.policy import access_collection
from llmos.features.collections.queries import PREVIEW_ITEMS, Entry, list_collections, list_entries
from llmos.features.collections.service import (
    create_collection,
    delete_collection,
    set_vote,
    slug_of,
    update_collection,
)
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.urls import base_url
from llmos.protocols.hf.answers import JsonBody, answer, page_answer, query_int, query_list, text_of

router = Router(tags=["collections"])

ONE = "/api/collections/{namespace:seg}/{slug:seg}"


def _entry_json(entry: Entry) -> dict[str, Any]:
    item = entry.item
    value: dict[str, Any] = {
        "_id": item.object_id,
        "id": entry.name,
        "type": item.kind,
        "position": item.position,
    }
    if item.note:
        value["note"] = {"text": item.note, "html": ""}
    if entry.repo is not None:
        repo = entry.repo
        value |= {
            "author": repo.namespace.name,
            "repoType": repo.type,
            "private": repo.is_private,
            "gated": repo.gated or False,
            "downloads": repo.downloads,
            "likes": repo.likes,
            "lastModified": clock.to_json(repo.updated_at),
        }
    if entry.linked is not None:
        value |= {"id": entry.linked.object_id, "slug": slug_of(entry.linked), "title": entry.linked.title}
    return value


def _collection_json(base: str, collection: Collection, entries: Sequence[Entry]) -> dict[str, Any]:
    owner = collection.namespace
    return {
        "_id": collection.object_id,
        "slug": slug_of(collection),
        "title": collection.title,
        "description": collection.description or None,
        "owner": {
            "_id": owner.object_id,
            "name": owner.name,
            "fullname": owner.fullname or owner.name,
            "avatarUrl": base + avatar_url(owner),
            "type": owner.kind,
        },
        "items": [_entry_json(entry) for entry in entries],
        "lastUpdated": clock.to_json(collection.updated_at),
        "private": collection.is_private,
        "theme": collection.theme,
        "upvotes": collection.upvotes,
        "shareUrl": f"{base}/collections/{slug_of(collection)}",
    }


def _whole(db: Session, actor: Actor, base: str, collection: Collection) -> dict[str, Any]:
    entries = list_entries(db, actor, [collection.id])[collection.id]
    return _collection_json(base, collection, entries) | {"position": collection.position}


def _flag(body: dict[str, Any], field: str) -> bool | None:
    value = body.get(field)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"{field} must be true or false.")
    return value


def _number(body: dict[str, Any], field: str) -> int | None:
    value = body.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > 2**31:
        raise BadRequest(f"{field} must be a whole number.")
    return value


def _text(body: dict[str, Any], field: str) -> str | None:
    """A text, also an empty one, which clears the field; None where it is absent."""
    value = body.get(field)
    if value is not None and not isinstance(value, str):
        raise BadRequest(f"{field} must be a text.")
    return value


@router.get("/api/collections")
def get_collections(rt: RuntimeDep, db: ReadDb, actor: ActorDep, request: Request) -> Response:
    """Lists of collections carry no `position`: clients number the answer themselves."""
    query = request.query_params
    page = list_collections(
        db,
        actor,
        owners=query_list(request, "owner"),
        items=query_list(request, "item"),
        search=query.get("q", "").replace("\0", ""),
        sort=query.get("sort"),
        limit=query_int(request, "limit"),
        cursor=query.get("cursor"),
    )
    entries = list_entries(db, actor, [found.id for found in page.items], each=PREVIEW_ITEMS)
    base = base_url(request, rt.settings)
    return page_answer(
        request, rt.settings, page.map(lambda found: _collection_json(base, found, entries[found.id]))
    )


@router.post("/api/collections")
def post_collection(
    rt: RuntimeDep, actor: ActorDep, db: WriteDb, request: Request, body: JsonBody
) -> Response:
    """Create a collection; 409 names the `slug` of the one of the same title."""
    collection = create_collection(
        db,
        actor,
        text_of(body, "namespace", limit=96),
        text_of(body, "title"),
        description=_text(body, "description") or "",
        is_private=_flag(body, "private") or False,
    )
    return answer(_whole(db, actor, base_url(request, rt.settings), collection))


@router.get(ONE)
def get_collection(
    rt: RuntimeDep, db: ReadDb, actor: ActorDep, request: Request, namespace: str, slug: str
) -> Response:
    collection = access_collection(db, actor, namespace, slug)
    return answer(_whole(db, actor, base_url(request, rt.settings), collection))


@router.patch(ONE)
def patch_collection(
    rt: RuntimeDep,
    actor: ActorDep,
    db: WriteDb,
    request: Request,
    namespace: str,
    slug: str,
    body: JsonBody,
) -> Response:
    """Change title, description, visibility, theme or place; the answer is wrapped in `data`."""
    collection = access_collection(db, actor, namespace, slug)
    update_collection(
        db,
        actor,
        collection,
        title=_text(body, "title"),
        description=_text(body, "description"),
        is_private=_flag(body, "private"),
        theme=_text(body, "theme"),
        position=_number(body, "position"),
    )
    return answer({"data": _whole(db, actor, base_url(request, rt.settings), collection)})


@router.delete(ONE)
def delete_collection_route(db: WriteDb, actor: ActorDep, namespace: str, slug: str) -> Response:
    delete_collection(db, actor, access_collection(db, actor, namespace, slug))
    return answer({})


@router.post(ONE + "/upvote")
def post_upvote(db: WriteDb, actor: ActorDep, namespace: str, slug: str) -> Response:
    return answer({"upvotes": set_vote(db, actor, access_collection(db, actor, namespace, slug), True)})


@router.delete(ONE + "/upvote")
def delete_upvote(db: WriteDb, actor: ActorDep, namespace: str, slug: str) -> Response:
    return answer({"upvotes": set_vote(db, actor, access_collection(db, actor, namespace, slug), False)})


@router.post(ONE + "/items")
@router.post(ONE + "/item", include_in_schema=False)
def post_item(
    rt: RuntimeDep,
    actor: ActorDep,
    db: WriteDb,
    request: Request,
    namespace: str,
    slug: str,
    body: JsonBody,
) -> Response:
    """Add an entry: `{"item": {"type", "id"}, "note"?}`. 409 where it is listed already."""
    collection = access_collection(db, actor, namespace, slug)
    item = body.get("item")
    if not isinstance(item, dict):
        raise BadRequest("item is missing: send an object with 'type' and 'id'.")
    add_item(
        db,
        actor,
        collection,
        text_of(item, "type", limit=20),
        text_of(item, "id", limit=220),
        note_of(body) or "",
    )
    return answer(_whole(db, actor, base_url(request, rt.settings), collection))


def note_of(body: dict[str, Any]) -> str | None:
    """The note as a text, or in an object with `text`, as it is answered; BadRequest if too long."""
    value = body.get("note")
    text = _text(value, "text") if isinstance(value, dict) else _text(body, "note")
    if text is not None and len(text) > NOTE_CHARS:
        raise BadRequest(f"note is too long: at most {NOTE_CHARS} characters, not {len(text)}.")
    return text


@router.patch(ONE + "/items/{item:seg}")
def patch_item(
    actor: ActorDep, db: WriteDb, namespace: str, slug: str, item: str, body: JsonBody
) -> Response:
    """Move an entry (`position`, from 0) or change its note."""
    collection = access_collection(db, actor, namespace, slug)
    update_item(db, actor, collection, item, note=note_of(body), position=_number(body, "position"))
    return answer({"success": True})


@router.delete(ONE + "/items/{item:seg}")
def delete_item_route(db: WriteDb, actor: ActorDep, namespace: str, slug: str, item: str) -> Response:
    delete_item(db, actor, access_collection(db, actor, namespace, slug), item)
    return answer({"success": True})
