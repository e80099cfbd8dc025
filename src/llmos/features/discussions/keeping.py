"""Threads of a deleted repository, kept with it, so that a mistake can be undone."""

from __future__ import annotations

from typing import Any

from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from llmos.features.accounts.models import User
from llmos.features.discussions.models import (
    Comment,
    CommentVersion,
    CommitCheck,
    PullRequest,
    Reaction,
    RepoThreadRules,
    Review,
    ReviewNote,
    Thread,
    ThreadEvent,
    ThreadTag,
)
from llmos.features.repos.models import Repo
from llmos.features.repos.tombstones import columns_of, keepers, values_of
from llmos.infra.db.base import Base

_OF_THREADS = (Review, Comment, ThreadEvent, PullRequest, ThreadTag, ReviewNote)
_OF_COMMENTS = (CommentVersion, Reaction)
_OF_REPOS = (RepoThreadRules, CommitCheck)
_USER_KEY = "users.id"


def take_threads(db: Session, repo: Repo) -> dict[str, list[dict[str, Any]]]:
    """All rows that hang on the repository's threads, by table, each table in order of its keys."""
    ids = select(Thread.id).where(Thread.repo_id == repo.id)
    comments = select(Comment.id).where(Comment.thread_id.in_(ids))
    found = {"threads": _rows(db, Thread, Thread.repo_id == repo.id)}
    for table in _OF_THREADS:
        found[table.__tablename__] = _rows(db, table, table.thread_id.in_(ids))
    for part in _OF_COMMENTS:
        found[part.__tablename__] = _rows(db, part, part.comment_id.in_(comments))
    for kept in _OF_REPOS:
        found[kept.__tablename__] = _rows(db, kept, kept.repo_id == repo.id)
    return found


def _rows(db: Session, table: type[Base], condition: Any) -> list[dict[str, Any]]:
    statement = select(table).where(condition).order_by(*inspect(table).primary_key)
    return [columns_of(row) for row in db.scalars(statement).unique()]


class _Restorer:
    """Rows get new ids, since others may have taken the old ones; references follow."""

    def __init__(self, db: Session, repo: Repo, kept: dict[str, list[dict[str, Any]]]) -> None:
        self._db, self._repo, self._kept = db, repo, kept
        self._people = set(db.scalars(select(User.id)))
        self._ids: dict[str, dict[int, int]] = {"threads": {}, "comments": {}, "reviews": {}}

    def _make(self, table: type[Base], row: dict[str, Any]) -> Base | None:
        """The row with its references mapped; None where a person it needs is gone."""
        values = values_of(table, row)
        for column in inspect(table).local_table.columns:
            if column.name not in values or values[column.name] is None:
                continue
            for key in column.foreign_keys:
                old = values[column.name]
                values[column.name] = self._target(key.target_fullname, old)
                if values[column.name] is None and not column.nullable:
                    return None
        if "id" in values:
            del values["id"]
        return table(**values)

    def _target(self, name: str, old: Any) -> Any:
        if name == _USER_KEY:
            return old if old in self._people else None
        if name == "repos.id":
            return self._repo.id
        known = self._ids.get(name.removesuffix(".id"))
        return old if known is None else known.get(old)

    def restore(self) -> None:
        for table in (Thread, Review, Comment):
            self._add_with_ids(table)
        for thread_row in self._kept.get("threads", []):
            self._point_to_comments(thread_row)
        for rest in (*_OF_THREADS[2:], *_OF_COMMENTS, *_OF_REPOS):
            made = [self._make(rest, row) for row in self._kept.get(rest.__tablename__, [])]
            self._db.add_all(row for row in made if row is not None)
        self._db.flush()

    def _add_with_ids(self, table: type[Thread | Review | Comment]) -> None:
        known = self._ids[table.__tablename__]
        for row in self._kept.get(table.__tablename__, []):
            made = self._make(table, row)
            if made is not None:
                self._db.add(made)
                self._db.flush()
                known[row["id"]] = made.id  # type: ignore[attr-defined]

    def _point_to_comments(self, row: dict[str, Any]) -> None:
        thread = self._db.get(Thread, self._ids["threads"].get(row["id"], 0))
        if thread is None:
            return
        comments = self._ids["comments"]
        thread.first_comment_id = comments.get(row["first_comment_id"] or 0)
        thread.answer_id = comments.get(row["answer_id"] or 0)


def restore_threads(db: Session, repo: Repo, kept: dict[str, list[dict[str, Any]]]) -> None:
    """Bring back what `take_threads` took; people deleted since are left out."""
    _Restorer(db, repo, kept).restore()


keepers["discussions"] = (take_threads, restore_threads)
