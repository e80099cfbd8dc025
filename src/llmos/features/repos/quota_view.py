"""What the repositories of a namespace take in storage, for its owners."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from llmos.core.errors import NotFound
from llmos.core.names import name_key
from llmos.core.pagination import Page, check_limit, decode_cursor, make_page
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.repos.cursors import cursor_int
from llmos.features.repos.models import Repo
from llmos.features.repos.policy import role_in
from llmos.features.repos.visibility import visible_to
from llmos.infra.i18n import lazy


@dataclass(frozen=True, slots=True)
class StoredRepo:
    """`percent` is the share of the namespace's whole storage."""

    repo_id: int
    repo_name: str
    type: str
    updated_at: datetime
    visibility: str
    storage_bytes: int
    percent: float


def access_org_namespace(db: Session, actor: Actor, name: str) -> Namespace:
    """The namespace of an organisation the actor is a member of; NotFound otherwise."""
    actor.require_user()
    namespace = db.scalar(select(Namespace).where(Namespace.name_key == name_key(name)))
    if namespace is None or role_in(actor, namespace) is None:
        raise NotFound(lazy("There is no organisation %(name)r that you are a member of.", name=name))
    return namespace


def used_bytes(db: Session, namespace_id: int) -> int:
    """Storage of all repositories of a namespace; an object used by two of them counts twice."""
    statement = select(func.sum(Repo.used_storage_bytes)).where(Repo.namespace_id == namespace_id)
    return int(db.scalar(statement) or 0)


def list_stored_repos(
    db: Session, actor: Actor, namespace_id: int, *, cursor: str | None = None, limit: int | None = None
) -> Page[StoredRepo]:
    """The repositories of a namespace the actor may see, largest first."""
    size = check_limit(limit, default=100, maximum=1000)
    every = select(func.sum(Repo.used_storage_bytes)).where(Repo.namespace_id == namespace_id)
    statement = (
        select(Repo, every.correlate(None).scalar_subquery())
        .where(Repo.namespace_id == namespace_id, visible_to(actor))
        .order_by(Repo.used_storage_bytes.desc(), Repo.id.desc())
        .limit(size + 1)
    )
    after = decode_cursor(cursor, 2)
    if after:
        mark = tuple_(cursor_int(after[0]), cursor_int(after[1]))
        statement = statement.where(tuple_(Repo.used_storage_bytes, Repo.id) < mark)
    found = [_stored(repo, int(total or 0)) for repo, total in db.execute(statement).unique()]
    return make_page(found, size, lambda item: [item.storage_bytes, item.repo_id])


def _stored(repo: Repo, total_bytes: int) -> StoredRepo:
    return StoredRepo(
        repo_id=repo.id,
        repo_name=repo.repo_name,
        type=repo.type,
        updated_at=repo.updated_at,
        visibility=repo.visibility,
        storage_bytes=repo.used_storage_bytes,
        percent=round(100 * repo.used_storage_bytes / total_bytes, 2) if total_bytes else 0.0,
    )
