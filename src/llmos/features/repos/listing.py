"""Lists of repositories: filters, orders and stable pages, in one query without git."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, tuple_
from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest
from llmos.core.names import name_key
from llmos.core.pagination import Page, check_limit, decode_cursor, encode_cursor
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.repos.cursors import cursor_int, cursor_number, cursor_time
from llmos.features.repos.facts_store import RepoRecord, select_records, to_record
from llmos.features.repos.models import Repo, RepoLike, RepoLink, RepoTag
from llmos.features.repos.trending import days_ago
from llmos.features.repos.visibility import visible_to
from llmos.infra.i18n import lazy
from llmos.infra.search.index import search

DEFAULT_LIMIT = 1000
MAX_LIMIT = 1000
MAX_FILTERS = 30
# Repositories a search by words looks at, the best first, before the other filters.
MAX_HITS = 1000
_UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
_COUNT = re.compile(r"(\d+(?:\.\d+)?)([kmbt]?)", re.IGNORECASE)


def _likes_30_days() -> ColumnElement[Any]:
    return (
        select(func.count())
        .select_from(RepoLike)
        .where(RepoLike.repo_id == Repo.id, RepoLike.created_at >= days_ago(30))
        .scalar_subquery()
    )


_SORTS: dict[str, Any] = {
    "trendingScore": lambda: Repo.trending_score,
    "createdAt": lambda: Repo.created_at,
    "lastModified": lambda: Repo.updated_at,
    "downloads": lambda: Repo.downloads,
    "likes": lambda: Repo.likes,
    "likes30d": _likes_30_days,
    "num_parameters": lambda: func.coalesce(Repo.total_parameters, -1),
    "mainSize": lambda: Repo.main_size_bytes,
    "id": lambda: Repo.id,
}
_TIMES = frozenset({"createdAt", "lastModified"})


@dataclass(frozen=True, slots=True)
class RepoQuery:
    """What a list asks for; conditions are joined by AND.

    `filters` are tags; `search` are parts of the name, or, in letters that no name has, words of the
    card; `used_*` are repositories a Space names.
    """

    repo_type: RepoType
    filters: Sequence[str] = ()
    author: str | None = None
    search: Sequence[str] = ()
    pipeline_tag: str | None = None
    library: str | None = None
    languages: Sequence[str] = ()
    license: str | None = None
    num_parameters: str | None = None
    gated: bool | None = None
    used_datasets: Sequence[str] = ()
    used_models: Sequence[str] = ()
    linked: bool = False
    sdk: Sequence[str] = ()
    sort: str | None = None
    limit: int | None = None
    cursor: str | None = None


def list_repos(
    db: Session, actor: Actor, query: RepoQuery, facts: Sequence[str] = (), *, max_limit: int = MAX_LIMIT
) -> Page[RepoRecord]:
    """One page of the repositories the actor may know of, in descending order of `sort`.

    Cursors name the last row by its sort value and id, so rows added meanwhile repeat or hide
    nothing. Raises BadRequest for an unknown sort, a malformed number range or a forged cursor.
    """
    sort = query.sort or "trendingScore"
    if sort not in _SORTS:
        raise BadRequest(
            lazy("sort must be one of %(choices)s, not %(sort)r.", choices=", ".join(_SORTS), sort=sort)
        )
    size = check_limit(query.limit, default=min(DEFAULT_LIMIT, max_limit), maximum=max_limit)
    key = _SORTS[sort]()
    statement = (
        select_records(facts, [key])
        .where(*conditions(db, actor, query), *_after(sort, key, query.cursor))
        .order_by(key.desc(), Repo.id.desc())
        .limit(size + 1)
    )
    rows = db.execute(statement).all()
    items = [to_record(row, facts) for row in rows[:size]]
    if len(rows) <= size:
        return Page(items)
    last = rows[size - 1][-1]
    mark = last.isoformat() if sort in _TIMES else last
    return Page(items, encode_cursor([mark, items[-1].id]))


def count_repos(db: Session, actor: Actor, query: RepoQuery) -> int:
    """How many repositories match, whatever the page."""
    statement = (
        select(func.count(Repo.id))
        .join(Namespace, Namespace.id == Repo.namespace_id)
        .where(*conditions(db, actor, query))
    )
    return db.scalar(statement) or 0


def _after(sort: str, key: Any, cursor: str | None) -> list[ColumnElement[bool]]:
    values = decode_cursor(cursor, 2)
    if values is None:
        return []
    mark: Any = cursor_time(values[0]) if sort in _TIMES else cursor_number(values[0])
    return [tuple_(key, Repo.id) < tuple_(mark, cursor_int(values[1]))]


def conditions(db: Session, actor: Actor, query: RepoQuery) -> list[ColumnElement[bool]]:
    """The WHERE of a query over `repos` joined with `namespaces`."""
    found: list[ColumnElement[bool]] = [Repo.type == query.repo_type.value, visible_to(actor)]
    found += [_has_tag(tag) for tag in _tags(query)]
    for text in query.search[:MAX_FILTERS]:
        if text:
            found.append(_name_holds(text) if text.isascii() else _words_hold(db, query.repo_type, text))
    if query.author:
        found.append(Namespace.name_key == name_key(query.author))
    if query.pipeline_tag:
        found.append(Repo.pipeline_tag == plain(query.pipeline_tag))
    if query.gated is not None:
        found.append(Repo.gated != "" if query.gated else Repo.gated == "")
    if query.sdk:
        found.append(Repo.sdk.in_([plain(sdk) for sdk in query.sdk]))
    if query.num_parameters:
        found.append(_parameters_between(*parse_range(query.num_parameters)))
    found += [_links_to("dataset", name) for name in query.used_datasets[:MAX_FILTERS]]
    found += [_links_to("model", name) for name in query.used_models[:MAX_FILTERS]]
    if query.linked:
        found.append(Repo.id.in_(select(RepoLink.repo_id).where(RepoLink.relation.in_(("dataset", "model")))))
    return found


def plain(text: str) -> str:
    """Text without NUL, which PostgreSQL refuses even in a comparison."""
    return text.replace("\0", "")


def _tags(query: RepoQuery) -> list[str]:
    tags = [tag for tag in query.filters if tag]
    prefix = "language:" if query.repo_type is RepoType.DATASET else ""
    tags += [f"{prefix}{code}" for code in query.languages]
    tags += [query.library] if query.library else []
    tags += [f"license:{query.license}"] if query.license else []
    if len(tags) > MAX_FILTERS:
        raise BadRequest(lazy("filter: at most %(limit)s tags can be combined.", limit=MAX_FILTERS))
    return [plain(tag).lower()[:200] for tag in tags]


def _has_tag(tag: str) -> ColumnElement[bool]:
    return Repo.id.in_(select(RepoTag.repo_id).where(RepoTag.tag == tag))


def _links_to(kind: str, repo_name: str) -> ColumnElement[bool]:
    target = plain(f"{kind}:{repo_name}").lower()
    links = select(RepoLink.repo_id).where(RepoLink.target_key == target, RepoLink.relation == kind)
    return Repo.id.in_(links)


def _name_holds(text: str) -> ColumnElement[bool]:
    part = plain(text).lower()[:200]
    if "/" in part:
        return (Namespace.name_key + "/" + Repo.name_key).contains(part, autoescape=True)
    return or_(
        Repo.name_key.contains(part, autoescape=True), Namespace.name_key.contains(part, autoescape=True)
    )


def _words_hold(db: Session, repo_type: RepoType, text: str) -> ColumnElement[bool]:
    hits = search(db, plain(text)[:200], kinds=[repo_type.value], limit=MAX_HITS)
    return Repo.object_id.in_([hit.doc_key.removeprefix("repo:") for hit in hits])


def parse_range(text: str) -> tuple[int | None, int | None]:
    """`"min:6B,max:128B"` -> (6e9, 128e9); either side may be missing. BadRequest otherwise."""
    bounds: dict[str, int] = {}
    for part in text.split(","):
        side, _, number = part.strip().partition(":")
        match = _COUNT.fullmatch(number.strip())
        if side not in ("min", "max") or match is None:
            raise BadRequest(
                lazy("num_parameters must look like 'min:6B,max:128B', not %(text)r.", text=text[:100])
            )
        bounds[side] = min(int(float(match[1]) * _UNITS[match[2].lower()]), 2**62)
    return bounds.get("min"), bounds.get("max")


def _parameters_between(low: int | None, high: int | None) -> ColumnElement[bool]:
    column = Repo.total_parameters
    parts: list[ColumnElement[bool]] = [column.is_not(None)]
    parts += [column >= low] if low is not None else []
    parts += [column <= high] if high is not None else []
    return and_(*parts)
