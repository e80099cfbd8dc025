"""Everything read about collections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, tuple_
from sqlalchemy.orm import Session, aliased

from llmos.core.errors import BadRequest, LlmosError
from llmos.core.names import name_key
from llmos.core.pagination import Page, check_limit, decode_cursor, make_page
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.buckets.models import Bucket
from llmos.features.collections.items import target_of
from llmos.features.collections.models import MAX_ITEMS, Collection, CollectionItem, CollectionVote
from llmos.features.collections.policy import visible_collections
from llmos.features.repos.cursors import cursor_int, cursor_time
from llmos.features.repos.models import Repo
from llmos.features.repos.policy import can_read
from llmos.features.repos.trending import days_ago
from llmos.features.repos.visibility import visible_to
from llmos.infra.i18n import lazy

SORTS = ("lastModified", "trending", "upvotes")
# Entries shown of each collection in a list.
PREVIEW_ITEMS = 4
PLURALS = {kind.plural: kind.value for kind in RepoType} | {
    "papers": "paper",
    "collections": "collection",
    "buckets": "bucket",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry with the thing it lists; `name` is its id as clients give it."""

    item: CollectionItem
    repo: Repo | None = None
    bucket: Bucket | None = None
    linked: Collection | None = None

    @property
    def name(self) -> str:
        if self.repo is not None:
            return self.repo.repo_name
        if self.bucket is not None:
            return self.bucket.bucket_name
        return self.item.paper_id or ""


def _recent_votes() -> ColumnElement[Any]:
    return (
        select(func.count())
        .select_from(CollectionVote)
        .where(CollectionVote.collection_id == Collection.id, CollectionVote.created_at >= days_ago(30))
        .scalar_subquery()
    )


def list_collections(
    db: Session,
    actor: Actor,
    *,
    owners: Sequence[str] = (),
    items: Sequence[str] = (),
    search: str = "",
    sort: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Page[Collection]:
    """Collections the actor may see. `items` are `models/ns/name`: a collection lists one of them.

    Sorted by the last change, by votes, or by votes of the last 30 days (`trending`), the highest
    first. Raises BadRequest for an unknown sort, item or forged cursor.
    """
    order = sort or "lastModified"
    if order not in SORTS:
        raise BadRequest(
            lazy(
                "sort must be one of %(choices)s, not %(order)r.", choices=", ".join(SORTS), order=order[:40]
            )
        )
    size = check_limit(limit, default=20, maximum=100)
    key: Any = {
        "lastModified": Collection.updated_at,
        "upvotes": Collection.upvotes,
        "trending": _recent_votes(),
    }[order]
    statement = select(Collection, key).where(*_conditions(db, actor, owners, items, search))
    after = decode_cursor(cursor, 2)
    if after:
        mark: Any = cursor_time(after[0]) if order == "lastModified" else cursor_int(after[0])
        statement = statement.where(tuple_(key, Collection.id) < (mark, cursor_int(after[1])))
    rows = db.execute(statement.order_by(key.desc(), Collection.id.desc()).limit(size + 1)).unique().all()
    page = make_page(
        list(rows),
        size,
        lambda row: [row[1].isoformat() if order == "lastModified" else row[1], row[0].id],
    )
    return Page([row[0] for row in page.items], page.next_cursor)


def _conditions(
    db: Session, actor: Actor, owners: Sequence[str], items: Sequence[str], search: str
) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [visible_collections(actor)]
    if owners:
        keys = [name_key(owner.replace("\0", "")) for owner in owners[:20]]
        ids = select(Namespace.id).where(Namespace.name_key.in_(keys))
        found.append(Collection.namespace_id.in_(ids))
    if search:
        found.append(func.lower(Collection.title).contains(search.lower()[:100], autoescape=True))
    if items:
        targets = [key for item in items[:20] if (key := _key_of(db, actor, item))]
        listing = select(CollectionItem.collection_id).where(CollectionItem.target_key.in_(targets))
        found.append(Collection.id.in_(listing))
    return found


def _key_of(db: Session, actor: Actor, item: str) -> str | None:
    plural, slash, name = item.partition("/")
    if not slash or plural not in PLURALS:
        raise BadRequest(lazy("item must look like models/owner/name, not %(item)r.", item=item[:100]))
    try:
        return str(target_of(db, actor, PLURALS[plural], name)["target_key"])
    except LlmosError:
        return None  # nobody lists, as far as this reader knows, what they cannot see


def list_entries(
    db: Session, actor: Actor, collection_ids: Sequence[int], *, each: int | None = None
) -> dict[int, list[Entry]]:
    """Entries by collection, in order, without those the actor must not know of; `each` at most."""
    linked = aliased(Collection, name="linked")
    place = func.row_number().over(
        partition_by=CollectionItem.collection_id, order_by=(CollectionItem.position, CollectionItem.id)
    )
    shown = (
        select(CollectionItem.id, place.label("place"))
        .outerjoin(Repo, Repo.id == CollectionItem.repo_id)
        .where(
            CollectionItem.collection_id.in_(collection_ids),
            or_(CollectionItem.repo_id.is_(None), visible_to(actor)),
        )
        .subquery()
    )
    statement = (
        select(CollectionItem, Repo, Bucket, linked)
        .join(shown, shown.c.id == CollectionItem.id)
        .outerjoin(Repo, Repo.id == CollectionItem.repo_id)
        .outerjoin(Bucket, Bucket.id == CollectionItem.bucket_id)
        .outerjoin(linked, linked.id == CollectionItem.linked_id)
        .where(shown.c.place <= (each or MAX_ITEMS))
        .order_by(CollectionItem.collection_id, shown.c.place)
    )
    found: dict[int, list[Entry]] = {id_: [] for id_ in collection_ids}
    for item, repo, bucket, target in db.execute(statement).unique():
        if all(can_read(actor, thing) for thing in (bucket, target) if thing is not None):
            found[item.collection_id].append(Entry(item, repo, bucket, target))
    return found


def count_entries(db: Session, collection_ids: Sequence[int]) -> dict[int, int]:
    """Public and private entries alike."""
    statement = (
        select(CollectionItem.collection_id, func.count())
        .where(CollectionItem.collection_id.in_(collection_ids))
        .group_by(CollectionItem.collection_id)
    )
    return {row[0]: row[1] for row in db.execute(statement)}


def list_changeable(db: Session, actor: Actor, *, limit: int = 50) -> list[Collection]:
    """Collections of the actor and of organisations where they may write, the last changed first."""
    if actor.user_id is None:
        return []
    owners = [actor.user_id, *(id_ for id_, role in actor.roles.items() if role in ("write", "admin"))]
    mine = or_(
        Collection.namespace_id.in_(owners),
        and_(Collection.namespace_id.in_(list(actor.roles)), Collection.created_by_id == actor.user_id),
    )
    statement = select(Collection).where(mine).order_by(Collection.updated_at.desc()).limit(limit)
    return list(db.scalars(statement).unique())


def collections_with(db: Session, target_key: str, ids: Sequence[int]) -> set[int]:
    """Which of these collections list the thing."""
    statement = select(CollectionItem.collection_id).where(
        CollectionItem.target_key == target_key, CollectionItem.collection_id.in_(ids)
    )
    return set(db.scalars(statement))
