"""What changes collections: making, renaming and deleting them, votes for them."""

from __future__ import annotations

import re
import unicodedata

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, Conflict, Forbidden
from llmos.core.plain import is_blank, plain_line
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.accounts.policy import access_namespace
from llmos.features.collections.models import (
    DESCRIPTION_CHARS,
    TITLE_CHARS,
    Collection,
    CollectionVote,
)
from llmos.features.collections.policy import check_can_change
from llmos.features.repos.policy import check_create
from llmos.infra.db.upsert import insert_missing
from llmos.infra.i18n import lazy

THEMES = ("green", "orange", "blue", "indigo", "purple", "pink")


class CollectionExists(Conflict):
    """The owner has a collection of that title; `data["slug"]` is its slug."""

    code = "CollectionExists"


def slug_of(collection: Collection) -> str:
    """`ada/small-models-<24 hex>`: letters and digits of the title that an address may hold as they are."""
    plain = unicodedata.normalize("NFKD", collection.title).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    return f"{collection.namespace.name}/{words + '-' if words else ''}{collection.object_id}"


def create_collection(
    db: Session, actor: Actor, namespace: str, title: str, *, description: str = "", is_private: bool = False
) -> Collection:
    """A new, empty collection. Raises CollectionExists where the owner has one of that title."""
    actor.require_user()
    owner = access_namespace(db, actor, namespace)
    check_create(actor, owner)
    checked = check_title(title)
    _check_free(db, owner, checked, None)
    collection = Collection(
        namespace=owner,
        created_by_id=actor.user_id,
        title=checked,
        slug_base=_title_key(checked),
        description=check_description(description),
        is_private=is_private,
    )
    db.add(collection)
    db.flush()
    return collection


def update_collection(
    db: Session,
    actor: Actor,
    collection: Collection,
    *,
    title: str | None = None,
    description: str | None = None,
    is_private: bool | None = None,
    theme: str | None = None,
    position: int | None = None,
) -> Collection:
    """Change what is given; None leaves a property as it is. Raises as `create_collection` does."""
    check_can_change(actor, collection)
    if title is not None:
        checked = check_title(title)
        _check_free(db, collection.namespace, checked, collection.id)
        collection.title, collection.slug_base = checked, _title_key(checked)
    if description is not None:
        collection.description = check_description(description)
    if is_private is not None:
        collection.is_private = is_private
    if theme is not None:
        if theme not in THEMES:
            raise BadRequest(lazy("theme must be one of %(choices)s.", choices=", ".join(THEMES)))
        collection.theme = theme
    if position is not None:
        collection.position = max(0, min(position, 1_000_000))
    collection.updated_at = clock.now()
    db.flush()
    return collection


def delete_collection(db: Session, actor: Actor, collection: Collection) -> None:
    """Delete the list; what it lists stays."""
    check_can_change(actor, collection)
    db.execute(delete(Collection).where(Collection.id == collection.id))


def set_vote(db: Session, actor: Actor, collection: Collection, wanted: bool) -> int:
    """Vote for a collection or take the vote back; repeating it changes nothing. Returns the count."""
    user_id = actor.require_user()
    if actor.token_role == "read":
        raise Forbidden(lazy("A read token cannot vote: use a token with the 'write' role."))
    if wanted:
        row = {"collection_id": collection.id, "user_id": user_id, "created_at": clock.now()}
        insert_missing(db, CollectionVote, [row])
    else:
        mine = (CollectionVote.collection_id == collection.id) & (CollectionVote.user_id == user_id)
        db.execute(delete(CollectionVote).where(mine))
    count = (
        select(func.count())
        .select_from(CollectionVote)
        .where(CollectionVote.collection_id == collection.id)
        .scalar_subquery()
    )
    db.execute(update(Collection).where(Collection.id == collection.id).values(upvotes=count))
    db.refresh(collection, ["upvotes"])
    return collection.upvotes


def has_voted(db: Session, actor: Actor, collection: Collection) -> bool:
    if actor.user_id is None:
        return False
    return db.get(CollectionVote, (collection.id, actor.user_id)) is not None


def _title_key(title: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", title).casefold().split())[: 2 * TITLE_CHARS]


def check_title(title: str) -> str:
    return _checked(title, "title", 1, TITLE_CHARS)


def check_description(text: str) -> str:
    return _checked(text, "description", 0, DESCRIPTION_CHARS)


def _checked(text: str, field: str, minimum: int, maximum: int) -> str:
    clean = plain_line(text)
    if "\0" in text or not minimum <= len(clean) <= maximum or (minimum and is_blank(clean)):
        raise BadRequest(
            lazy(
                "%(field)s must have %(minimum)s to %(maximum)s characters.",
                field=field,
                minimum=minimum,
                maximum=maximum,
            )
        )
    return clean


def _check_free(db: Session, owner: Namespace, title: str, own_id: int | None) -> None:
    statement = select(Collection).where(
        Collection.namespace_id == owner.id, Collection.slug_base == _title_key(title)
    )
    taken = db.scalar(statement)
    if taken is not None and taken.id != own_id:
        raise CollectionExists(
            lazy("%(owner)s has a collection of this title already.", owner=owner.name),
            data={"slug": slug_of(taken)},
        )
