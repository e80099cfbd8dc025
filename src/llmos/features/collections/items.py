"""Entries of collections: adding, moving, noting and removing them."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.buckets.policy import access_bucket
from llmos.features.collections.models import MAX_ITEMS, NOTE_CHARS, Collection, CollectionItem
from llmos.features.collections.policy import access_collection, check_can_change
from llmos.features.collections.service import slug_of
from llmos.features.repos.policy import access_repo
from llmos.infra.i18n import lazy

REPO_KINDS = tuple(kind.value for kind in RepoType)
KINDS = (*REPO_KINDS, "paper", "collection", "bucket")
_PAPER = re.compile(r"\d{4}\.\d{4,5}(?:v\d{1,2})?|[a-z-]+(?:\.[A-Z]{2})?/\d{7}")


class ItemExists(Conflict):
    """The collection lists this already; `data["slug"]` is the collection's slug."""

    code = "ItemExists"


def target_of(db: Session, actor: Actor, kind: str, item_id: str) -> dict[str, Any]:
    """The columns that say what an entry points to. NotFound where the actor can see no such thing."""
    if kind not in KINDS:
        raise BadRequest(lazy("item.type must be one of %(choices)s.", choices=", ".join(KINDS)))
    if kind == "paper":
        if not _PAPER.fullmatch(item_id):
            raise BadRequest(lazy("item.id of a paper is its arXiv number, like 2307.09288."))
        return {"target_key": f"paper:{item_id}", "paper_id": item_id}
    namespace, slash, name = item_id.partition("/")
    if not slash or not name or "/" in name or "\0" in item_id:
        raise BadRequest(lazy("item.id must look like owner/name."))
    if kind == "collection":
        linked = access_collection(db, actor, namespace, name)
        return {"target_key": f"collection:{linked.id}", "linked_id": linked.id}
    if kind == "bucket":
        bucket = access_bucket(db, actor, namespace, name)
        return {"target_key": f"bucket:{bucket.id}", "bucket_id": bucket.id}
    repo = access_repo(db, actor, RepoType(kind), namespace, name)
    return {"target_key": f"repo:{repo.id}", "repo_id": repo.id}


def add_item(
    db: Session, actor: Actor, collection: Collection, kind: str, item_id: str, note: str = ""
) -> CollectionItem:
    """Put something at the end. Raises ItemExists, NotFound and, for a full collection, BadRequest."""
    check_can_change(actor, collection)
    text = check_note(note)
    target = target_of(db, actor, kind, item_id)
    if target.get("linked_id") == collection.id:
        raise BadRequest(lazy("A collection cannot list itself."))
    _lock(db, collection)
    here = CollectionItem.collection_id == collection.id
    if db.scalar(select(CollectionItem.id).where(here, CollectionItem.target_key == target["target_key"])):
        raise ItemExists(lazy("This is in the collection already."), data={"slug": slug_of(collection)})
    count = db.scalar(select(func.count()).select_from(CollectionItem).where(here)) or 0
    if count >= MAX_ITEMS:
        raise BadRequest(lazy("A collection holds at most %(number)s entries.", number=MAX_ITEMS))
    item = CollectionItem(collection_id=collection.id, kind=kind, note=text, position=count, **target)
    db.add(item)
    _touch(db, collection)
    return item


def access_item(db: Session, collection: Collection, object_id: str) -> CollectionItem:
    found = db.scalar(
        select(CollectionItem).where(
            CollectionItem.collection_id == collection.id, CollectionItem.object_id == object_id.lower()
        )
    )
    if found is None:
        raise NotFound(lazy("This entry is not in the collection (any more)."))
    return found


def update_item(
    db: Session,
    actor: Actor,
    collection: Collection,
    object_id: str,
    *,
    note: str | None = None,
    position: int | None = None,
) -> None:
    """Write a note, or move the entry to a place counted from 0; the others close up."""
    check_can_change(actor, collection)
    _lock(db, collection)
    item = access_item(db, collection, object_id)
    if note is not None:
        item.note = check_note(note)
    if position is not None:
        _move(db, item, position)
    _touch(db, collection)


def move_item_by(db: Session, actor: Actor, collection: Collection, object_id: str, step: int) -> None:
    """Move an entry up (-1) or down (+1); at the end of the list nothing happens."""
    item = access_item(db, collection, object_id)
    update_item(db, actor, collection, object_id, position=max(0, item.position + step))


def delete_item(db: Session, actor: Actor, collection: Collection, object_id: str) -> None:
    """Take an entry off the list. Raises NotFound when it is gone."""
    check_can_change(actor, collection)
    _lock(db, collection)
    item = access_item(db, collection, object_id)
    db.execute(delete(CollectionItem).where(CollectionItem.id == item.id))
    _renumber(db, _ids_in_order(db, collection.id))
    _touch(db, collection)


def check_note(note: str) -> str:
    if "\0" in note or len(note) > NOTE_CHARS:
        raise BadRequest(lazy("note must have at most %(number)s characters.", number=NOTE_CHARS))
    return note.strip()


def _lock(db: Session, collection: Collection) -> None:
    """Two people who move entries at once would number them twice."""
    db.execute(select(Collection.id).where(Collection.id == collection.id).with_for_update())


def _ids_in_order(db: Session, collection_id: int) -> list[int]:
    order = (CollectionItem.position, CollectionItem.id)
    return list(
        db.scalars(
            select(CollectionItem.id).where(CollectionItem.collection_id == collection_id).order_by(*order)
        )
    )


def _move(db: Session, item: CollectionItem, position: int) -> None:
    ids = _ids_in_order(db, item.collection_id)
    ids.remove(item.id)
    ids.insert(max(0, min(position, len(ids))), item.id)
    _renumber(db, ids)
    db.expire(item, ["position"])


def _renumber(db: Session, ids: list[int]) -> None:
    if ids:
        db.execute(update(CollectionItem), [{"id": id_, "position": i} for i, id_ in enumerate(ids)])


def _touch(db: Session, collection: Collection) -> None:
    collection.updated_at = clock.now()
    db.flush()
