"""Repositories as plain records: the columns a list or an info call needs, and no more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, func, select
from sqlalchemy.orm import Session, aliased

from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.repos.head_facts import HeadFacts
from llmos.features.repos.models import Repo, RepoFacts, RepoLink
from llmos.features.repos.visibility import visible_to

# Columns of RepoFacts that are only read when something asks for them.
FACT_COLUMNS = ("card", "siblings", "config", "safetensors", "gguf", "extra")
MAX_LINKED = 100


@dataclass(slots=True)
class RepoRecord:
    """One repository as the API shows it; facts that were not loaded are None."""

    id: int
    object_id: str
    type: str
    namespace: str
    name: str
    visibility: str
    gated: str
    disabled: bool
    created_at: datetime
    updated_at: datetime
    head_oid: str | None
    downloads: int
    downloads_all_time: int
    likes: int
    trending_score: float
    pipeline_tag: str | None
    library_name: str | None
    license: str | None
    sdk: str | None
    total_parameters: int | None
    main_size_bytes: int
    used_storage_bytes: int
    tags: list[str]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def repo_name(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def link_key(self) -> str:
        """The `target_key` under which others name this repository."""
        return f"{self.type}:{self.repo_name}".lower()


_COLUMNS = (
    Repo.id, Repo.object_id, Repo.type, Namespace.name, Repo.name, Repo.visibility, Repo.gated,
    Repo.disabled, Repo.created_at, Repo.updated_at, Repo.head_oid, Repo.downloads,
    Repo.downloads_all_time, Repo.likes, Repo.trending_score, Repo.pipeline_tag, Repo.library_name,
    Repo.license, Repo.sdk, Repo.total_parameters, Repo.main_size_bytes, Repo.used_storage_bytes,
    Repo.tags,
)  # fmt: skip


def select_records(facts: Sequence[str] = (), extra: Sequence[ColumnElement[Any]] = ()) -> Select[Any]:
    """A SELECT of records with the named columns of the facts; `extra` columns come last."""
    columns = [getattr(RepoFacts, name) for name in facts]
    everything: list[Any] = [*_COLUMNS, *columns, *extra]
    statement: Select[Any] = select(*everything).join(Namespace, Namespace.id == Repo.namespace_id)
    if facts:
        statement = statement.outerjoin(RepoFacts, RepoFacts.repo_id == Repo.id)
    return statement


def to_record(row: Sequence[Any], facts: Sequence[str] = ()) -> RepoRecord:
    """The record of a row of `select_records` with the same facts."""
    width = len(_COLUMNS)
    record = RepoRecord(*row[:width])
    record.facts = {name: row[width + i] for i, name in enumerate(facts)}
    return record


def load_record(db: Session, repo_id: int, facts: Sequence[str] = ()) -> RepoRecord:
    row = db.execute(_one_record(tuple(facts)), {"wanted": repo_id}).one()
    return to_record(row, facts)


@lru_cache(maxsize=64)
def _one_record(facts: tuple[str, ...]) -> Select[Any]:
    return select_records(facts).where(Repo.id == bindparam("wanted"))


def list_records(db: Session, ids: Sequence[int], facts: Sequence[str] = ()) -> list[RepoRecord]:
    """Records in the order of `ids`; those that are gone are left out."""
    rows = db.execute(select_records(facts).where(Repo.id.in_(ids)))
    found = {record.id: record for record in (to_record(row, facts) for row in rows)}
    return [found[id_] for id_ in ids if id_ in found]


def at_revision(record: RepoRecord, head: HeadFacts) -> RepoRecord:
    """The record with everything derived from files taken from another commit."""
    record.head_oid = head.commit_oid
    record.tags = head.tags
    record.pipeline_tag, record.library_name = head.pipeline_tag, head.library_name
    record.license, record.sdk = head.license, head.sdk or record.sdk
    record.total_parameters, record.main_size_bytes = head.total_parameters, head.main_size_bytes
    record.facts = {name: getattr(head, name) for name in FACT_COLUMNS}
    return record


def count_children(db: Session, actor: Actor, keys: Iterable[str]) -> dict[str, int]:
    """How many visible models name each target (`model:ns/name`) as their base."""
    wanted = list(keys)
    statement = (
        select(RepoLink.target_key, func.count(RepoLink.repo_id.distinct()))
        .join(Repo, Repo.id == RepoLink.repo_id)
        .where(RepoLink.target_key.in_(wanted), RepoLink.relation.like("base_model:%"), visible_to(actor))
        .group_by(RepoLink.target_key)
    )
    return {row[0]: row[1] for row in db.execute(statement)}


def list_using(
    db: Session, actor: Actor, keys: Iterable[str], repo_type: str, relations: Sequence[str]
) -> dict[str, list[str]]:
    """Names of the visible repositories of a type that link to each target, most liked first."""
    wanted = list(keys)
    owner = aliased(Namespace)
    statement = (
        select(RepoLink.target_key, owner.name, Repo.name)
        .join(Repo, Repo.id == RepoLink.repo_id)
        .join(owner, owner.id == Repo.namespace_id)
        .where(
            RepoLink.target_key.in_(wanted),
            RepoLink.relation.in_(relations),
            Repo.type == repo_type,
            visible_to(actor),
        )
        .order_by(Repo.likes.desc(), Repo.id.desc())
    )
    found: dict[str, list[str]] = {}
    for key, namespace, name in db.execute(statement):
        names = found.setdefault(key, [])
        if len(names) < MAX_LINKED:
            names.append(f"{namespace}/{name}")
    return found
