"""What the pages ask of the database: lists with filters and counts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, Engine, String, and_, func, literal, select, tuple_, union_all
from sqlalchemy import cast as cast_sql
from sqlalchemy.orm import Session, aliased

from llmos.core import clock
from llmos.core.errors import BadRequest
from llmos.core.names import name_key
from llmos.core.pagination import Page, decode_cursor, encode_cursor
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.repos.models import Repo, RepoTag
from llmos.features.repos.visibility import private_of, visible_to
from llmos.infra.i18n import lazy
from llmos.infra.search.index import search

SORTS: dict[str, Any] = {
    "trending": Repo.trending_score,
    "updated": Repo.updated_at,
    "created": Repo.created_at,
    "downloads": Repo.downloads,
    "likes": Repo.likes,
}
PAGE_SIZE = 24
MAX_FOUND = 500
_TAG_PREFIXES = {
    "task": "task_categories:",
    "language": "language:",
    "size": "size_categories:",
    "format": "format:",
    "dataset": "dataset:",
    "base_model": "base_model:",
}
_COLUMNS: dict[str, Any] = {
    "task": Repo.pipeline_tag,
    "library": Repo.library_name,
    "license": Repo.license,
    "sdk": Repo.sdk,
    "visibility": Repo.visibility,
}
FACETS: dict[RepoType, tuple[str, ...]] = {
    RepoType.MODEL: (
        *("task", "params", "memory", "library", "language", "license", "dataset", "base_model"),
    ),
    RepoType.DATASET: ("task", "size", "language", "format", "license"),
    RepoType.SPACE: ("sdk", "license"),
    RepoType.KERNEL: ("license",),
}

GB = 1024**3
# Facets of numbers: value -> from, below. Parameters stand side by side; memory is what one has.
RANGES: dict[str, dict[str, tuple[float, float]]] = {
    "params": {
        "lt100m": (0, 1e8),
        "100m-1b": (1e8, 1e9),
        "1b-3b": (1e9, 3e9),
        "3b-9b": (3e9, 9e9),
        "9b-30b": (9e9, 3e10),
        "30b-100b": (3e10, 1e11),
        "gt100b": (1e11, 2**62),
    },
    "memory": {str(size): (0, size * GB + 1) for size in (4, 8, 16, 24, 48, 80)},
}
_RANGE_COLUMNS: dict[str, Any] = {"params": Repo.total_parameters, "memory": Repo.inference_bytes}


@dataclass(frozen=True)
class ListQuery:
    """What a reader asked of a list; `filters` maps facets to one value each."""

    repo_type: RepoType
    text: str = ""
    author: str = ""
    tag: str = ""
    filters: dict[str, str] = field(default_factory=dict)
    sort: str = ""

    @property
    def order(self) -> str:
        """The sort in effect: relevance where something is searched, else trending."""
        return self.sort or ("relevance" if self.text else "trending")

    def with_filter(self, key: str, value: str) -> ListQuery:
        """The same with one filter set, or lifted if it is set to just this value."""
        filters = {name: kept for name, kept in self.filters.items() if name != key}
        if self.filters.get(key) != value:
            filters[key] = value
        return replace(self, filters=filters)


def check_sort(sort: str) -> str:
    if sort and sort != "relevance" and sort not in SORTS:
        raise BadRequest(
            lazy(
                "sort must be one of %(choices)s or relevance, not %(sort)r.",
                choices=", ".join(SORTS),
                sort=sort[:40],
            )
        )
    return sort


def _is_tag_facet(repo_type: RepoType, key: str) -> bool:
    return key in ("language", "size", "format", "dataset", "base_model") or (
        key == "task" and repo_type is RepoType.DATASET
    )


def tag_of(repo_type: RepoType, key: str, value: str) -> str:
    """The tag a facet's value stands for: models carry bare language codes."""
    prefix = "" if (repo_type is RepoType.MODEL and key == "language") else _TAG_PREFIXES[key]
    return (prefix + value).lower()


def _has_tag(tag: str) -> ColumnElement[bool]:
    # Aliased: a facet counts tags in the same query.
    other = aliased(RepoTag)
    return select(other.repo_id).where(other.repo_id == Repo.id, other.tag == tag).exists()


def _in_range(key: str, value: str) -> ColumnElement[bool]:
    if value not in RANGES[key]:
        raise BadRequest(
            lazy(
                "%(key)s must be one of %(choices)s, not %(value)r.",
                key=key,
                choices=", ".join(RANGES[key]),
                value=value[:40],
            )
        )
    low, high = RANGES[key][value]
    column = _RANGE_COLUMNS[key]
    return and_(column >= int(low), column < int(high))


def _conditions(
    visible: ColumnElement[bool], query: ListQuery, among: ColumnElement[bool] | None, *, without: str = ""
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [Repo.type == query.repo_type.value, visible]
    if among is not None:
        conditions.append(among)
    if query.author:
        owner = select(Namespace.id).where(Namespace.name_key == name_key(query.author))
        conditions.append(Repo.namespace_id.in_(owner))
    if query.tag:
        conditions.append(_has_tag(query.tag.lower()))
    for key, value in query.filters.items():
        if key == without:
            continue
        if key in RANGES:
            conditions.append(_in_range(key, value))
        elif _is_tag_facet(query.repo_type, key):
            conditions.append(_has_tag(tag_of(query.repo_type, key, value)))
        else:
            conditions.append(_COLUMNS[key] == value)
    return conditions


def find_object_ids(db: Session, query: ListQuery) -> list[str] | None:
    """Ids of repositories that match the words, best first; None where no words were given."""
    if not query.text:
        return None
    hits = search(db, query.text, kinds=[query.repo_type.value], limit=MAX_FOUND)
    return [hit.doc_key.removeprefix("repo:") for hit in hits]


def list_repos(
    db: Session, actor: Actor, query: ListQuery, found: Sequence[str] | None, cursor: str | None
) -> Page[Repo]:
    """One page in the order asked for; `found` comes from `find_object_ids`."""
    among = Repo.object_id.in_(found) if found is not None else None
    conditions = _conditions(visible_to(actor), query, among)
    if query.order == "relevance":
        return _by_relevance(db, conditions, found or [], cursor)
    column = SORTS[query.order]
    statement = select(Repo).where(*conditions)
    after = decode_cursor(cursor, 2)
    if after:
        statement = statement.where(
            tuple_(column, Repo.id) < (_mark(query.order, after[0]), _number(after[1]))
        )
    rows = list(db.scalars(statement.order_by(column.desc(), Repo.id.desc()).limit(PAGE_SIZE + 1)).unique())
    if len(rows) <= PAGE_SIZE:
        return Page(rows)
    last = rows[PAGE_SIZE - 1]
    value = getattr(last, column.key)
    at = value.timestamp() if hasattr(value, "timestamp") else value
    return Page(rows[:PAGE_SIZE], encode_cursor([at, last.id]))


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 2**62:
        raise BadRequest(lazy("cursor is not one this server gave out: leave it out to start."))
    return value


def _mark(order: str, value: Any) -> Any:
    number = _number(value)
    if order not in ("updated", "created"):
        return number
    if not 0 <= number < 4_000_000_000:
        raise BadRequest(lazy("cursor is not one this server gave out: leave it out to start."))
    return clock.from_unix(number)


def _by_relevance(
    db: Session, conditions: list[ColumnElement[bool]], found: Sequence[str], cursor: str | None
) -> Page[Repo]:
    after = decode_cursor(cursor, 1)
    start = int(_number(after[0])) if after else 0
    rank = {object_id: place for place, object_id in enumerate(found)}
    ids = list(db.execute(select(Repo.object_id, Repo.id).where(*conditions)))
    ids.sort(key=lambda row: rank[row[0]])
    chosen = [row[1] for row in ids[start : start + PAGE_SIZE]]
    rows = {repo.id: repo for repo in db.scalars(select(Repo).where(Repo.id.in_(chosen))).unique()}
    more = start + PAGE_SIZE < len(ids)
    return Page([rows[id_] for id_ in chosen], encode_cursor([start + PAGE_SIZE]) if more else None, len(ids))


@dataclass(frozen=True)
class Counts:
    """How many repositories a list has, and per facet its values with how many each would leave."""

    total: int
    facets: dict[str, list[tuple[str, int]]]


_public_counts: WeakKeyDictionary[Engine, dict[str, tuple[float, Counts]]] = WeakKeyDictionary()
COUNTS_KEPT_S = 5.0
_MAX_KEPT = 500


def count_list(
    db: Session, actor: Actor, query: ListQuery, found: Sequence[str] | None, keys: Sequence[str]
) -> Counts:
    """Totals of a list as the actor sees it; those of public repositories may be some seconds old.

    Private repositories are counted anew each time: they are few, and nobody else's.
    """
    public = _count_public(db, query, found, keys)
    if actor.user_id is None:
        return public
    private = _count(db, private_of(actor), query, found, keys)
    if not private.total and not any(private.facets.values()):
        return public
    merged = {}
    for key in keys:
        sums = Counter(dict(public.facets[key])) + Counter(dict(private.facets[key]))
        merged[key] = sorted(sums.items(), key=lambda item: (-item[1], item[0]))
    return Counts(public.total + private.total, merged)


def _count_public(db: Session, query: ListQuery, found: Sequence[str] | None, keys: Sequence[str]) -> Counts:
    visible = Repo.visibility != "private"
    if found is not None:
        return _count(db, visible, query, found, keys)
    kept = _public_counts.setdefault(cast(Engine, db.get_bind()), {})
    name, now_s = repr((replace(query, sort=""), tuple(keys))), time.monotonic()
    known = kept.get(name)
    if known is not None and now_s - known[0] < COUNTS_KEPT_S:
        return known[1]
    counts = _count(db, visible, query, None, keys)
    if len(kept) >= _MAX_KEPT:
        kept.clear()
    kept[name] = (now_s, counts)
    return counts


def _count(
    db: Session,
    visible: ColumnElement[bool],
    query: ListQuery,
    found: Sequence[str] | None,
    keys: Sequence[str],
) -> Counts:
    """One query for all facets."""
    among = None
    if found is not None:
        # Named once: a list of hundreds of ids in each part takes far longer to write than to answer.
        hits = select(Repo.id).where(Repo.object_id.in_(found)).cte("hits")
        among = Repo.id.in_(select(hits.c.id))
    total = select(literal(""), literal(""), func.count()).select_from(Repo)
    parts: list[Any] = [total.where(*_conditions(visible, query, among))]
    for key in keys:
        parts += _facet_parts(visible, query, among, key)
    facets: dict[str, list[tuple[str, int]]] = {key: [] for key in keys}
    amount = 0
    for key, value, count in db.execute(union_all(*parts)):
        if not key:
            amount = count
        elif count:
            facets[key].append((value, count))
    for values in facets.values():
        values.sort(key=lambda item: (-item[1], item[0]))
    for key in [key for key in keys if key in RANGES]:
        facets[key].sort(key=lambda item: list(RANGES[key]).index(item[0]))
    return Counts(amount, facets)


def _facet_parts(
    visible: ColumnElement[bool], query: ListQuery, among: ColumnElement[bool] | None, key: str
) -> list[Any]:
    conditions = _conditions(visible, query, among, without=key)
    if key in RANGES:
        return [
            select(literal(key), literal(value), func.count())
            .select_from(Repo)
            .where(*conditions, _in_range(key, value))
            for value in RANGES[key]
        ]
    if not _is_tag_facet(query.repo_type, key):
        column = _COLUMNS[key]
        statement = select(literal(key), cast_sql(column, String), func.count())
        return [_top(statement.where(*conditions, column.is_not(None), column != ""), column)]
    prefix = tag_of(query.repo_type, key, "")
    statement = (
        select(literal(key), func.substr(RepoTag.tag, len(prefix) + 1), func.count())
        .join(Repo, Repo.id == RepoTag.repo_id)
        .where(*conditions, *_tags_of_facet(prefix))
    )
    return [_top(statement, RepoTag.tag)]


def _tags_of_facet(prefix: str) -> list[ColumnElement[bool]]:
    if not prefix:
        return [func.length(RepoTag.tag) <= 3]
    # A range, as the index knows no LIKE; `base_model:adapter:x` repeats `base_model:x`.
    found: list[ColumnElement[bool]] = [RepoTag.tag >= prefix, RepoTag.tag < prefix[:-1] + ";"]
    return [*found, RepoTag.tag.not_like("base_model:%:%")] if prefix == "base_model:" else found


def _top(statement: Any, column: Any, limit: int = 200) -> Any:
    """The most frequent values only; wrapped, as SQLite limits no part of a union otherwise."""
    grouped = statement.group_by(column).order_by(func.count().desc(), column).limit(limit).subquery()
    return select(grouped)
