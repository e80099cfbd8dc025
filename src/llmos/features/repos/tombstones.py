"""Rows of a deleted repository as one JSON document, and back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from sqlalchemy import Date, inspect, select
from sqlalchemy.orm import Session

from llmos.features.accounts.models import Namespace, User
from llmos.features.repos.models import (
    AccessRequest,
    BranchRule,
    DeletedRepo,
    DownloadDay,
    PullRef,
    Repo,
    RepoLfsClaim,
    RepoLike,
)
from llmos.infra.db.base import Base, UtcDateTime

# Rebuilt from git by the index, so they need no copy.
_DERIVED = frozenset({"id", "namespace_id", "name", "name_key", "tags"})
# Tables that hang on a repository and cannot be rebuilt -> columns left out of the copy.
_TABLES: dict[str, tuple[type[Base], frozenset[str]]] = {
    "claims": (RepoLfsClaim, frozenset({"repo_id"})),
    "likes": (RepoLike, frozenset({"repo_id"})),
    "access_requests": (AccessRequest, frozenset({"repo_id", "id"})),
    "branch_rules": (BranchRule, frozenset({"repo_id"})),
    "download_days": (DownloadDay, frozenset({"repo_id"})),
    "pull_refs": (PullRef, frozenset({"repo_id"})),
}
# Filled by features above whose rows hang on repositories: how to copy them, and to bring them back.
keepers: dict[str, tuple[Callable[[Session, Repo], Any], Callable[[Session, Repo, Any], None]]] = {}


def take_snapshot(db: Session, repo: Repo) -> dict[str, Any]:
    """Everything needed to bring the repository back as it was."""
    snapshot: dict[str, Any] = {"repo": columns_of(repo, _DERIVED)}
    for key, (table, left_out) in _TABLES.items():
        rows = db.scalars(select(table).where(table.repo_id == repo.id)).unique()  # type: ignore[attr-defined]
        snapshot[key] = [columns_of(row, left_out) for row in rows]
    for key, (take, _) in keepers.items():
        snapshot[key] = take(db, repo)
    return snapshot


def restore_rows(db: Session, tombstone: DeletedRepo, namespace: Namespace, name: str) -> Repo:
    """Add the repository and its rows again; people deleted since are left out."""
    snapshot = tombstone.snapshot
    repo = Repo(**values_of(Repo, snapshot["repo"]), name=name, name_key=name.lower(), tags=[])
    repo.namespace = namespace
    if repo.created_by_id is not None and db.get(User, repo.created_by_id) is None:
        repo.created_by_id = None
    db.add(repo)
    db.flush()
    people = set(db.scalars(select(User.id)))
    for key, (table, _left_out) in _TABLES.items():
        for row in snapshot.get(key, []):
            if row.get("user_id", 0) in people or "user_id" not in row:
                author = (
                    {} if row.get("author_id", 0) in people or "author_id" not in row else {"author_id": None}
                )
                db.add(table(repo_id=repo.id, **values_of(table, row | author)))
    for key, (_, put_back) in keepers.items():
        if key in snapshot:
            put_back(db, repo, snapshot[key])
    return repo


def columns_of(row: Base, left_out: frozenset[str] = frozenset()) -> dict[str, Any]:
    """A row as JSON takes it."""
    names = [attr.key for attr in inspect(row).mapper.column_attrs if attr.key not in left_out]
    return {name: _plain(getattr(row, name)) for name in names}


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value  # a datetime is a date, too


def values_of(table: type[Base], row: dict[str, Any]) -> dict[str, Any]:
    """The stored texts as the column types want them."""
    found: dict[str, Any] = {}
    for attr in inspect(table).column_attrs:
        if attr.key not in row:
            continue
        value, kind = row[attr.key], attr.columns[0].type
        if value is not None and isinstance(kind, UtcDateTime):
            value = datetime.fromisoformat(value)
        elif value is not None and isinstance(kind, Date):
            value = date.fromisoformat(value)
        found[attr.key] = value
    return found
