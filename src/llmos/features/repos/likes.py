"""Likes of repositories."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select, tuple_, update
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import Forbidden
from llmos.core.pagination import Page, check_limit, decode_cursor, make_page
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.repos.cursors import cursor_int, cursor_time
from llmos.features.repos.models import Repo, RepoLike
from llmos.features.repos.visibility import visible_to
from llmos.infra.db.upsert import insert_missing
from llmos.infra.i18n import lazy
from llmos.infra.queue.outbox import emit


@dataclass(frozen=True, slots=True)
class Liker:
    namespace: Namespace
    liked_at: datetime
    user_id: int


@dataclass(frozen=True, slots=True)
class LikedRepo:
    type: str
    repo_name: str
    liked_at: datetime
    repo_id: int


def like_repo(db: Session, actor: Actor, repo: Repo) -> int:
    """Like a repository the actor can see; liking twice changes nothing. Returns the new count."""
    user_id = _check_may_like(actor)
    row = {"repo_id": repo.id, "user_id": user_id, "created_at": clock.now()}
    if insert_missing(db, RepoLike, [row]):
        emit(db, "RepoLiked", {"repo_id": repo.id, "user_id": user_id})
    return _recount(db, repo)


def unlike_repo(db: Session, actor: Actor, repo: Repo) -> int:
    """Take the like back, if there was one. Returns the new count."""
    user_id = _check_may_like(actor)
    db.execute(delete(RepoLike).where(RepoLike.repo_id == repo.id, RepoLike.user_id == user_id))
    return _recount(db, repo)


def _check_may_like(actor: Actor) -> int:
    user_id = actor.require_user()
    if actor.token_role == "read":
        raise Forbidden(lazy("A read token cannot like: use a token with the 'write' role."))
    return user_id


def _recount(db: Session, repo: Repo) -> int:
    count = select(func.count()).select_from(RepoLike).where(RepoLike.repo_id == repo.id)
    db.execute(update(Repo).where(Repo.id == repo.id).values(likes=count.scalar_subquery()))
    db.refresh(repo, ["likes"])
    return repo.likes


def has_liked(db: Session, actor: Actor, repo: Repo) -> bool:
    return actor.user_id is not None and db.get(RepoLike, (repo.id, actor.user_id)) is not None


def list_likers(
    db: Session, repo: Repo, *, cursor: str | None = None, limit: int | None = None
) -> Page[Liker]:
    """Who liked a repository, the latest first."""
    size = check_limit(limit, default=100, maximum=1000)
    order = (RepoLike.created_at.desc(), RepoLike.user_id.desc())
    statement = (
        select(Namespace, RepoLike.created_at, RepoLike.user_id)
        .join(Namespace, Namespace.id == RepoLike.user_id)
        .where(RepoLike.repo_id == repo.id)
        .order_by(*order)
        .limit(size + 1)
    )
    after = decode_cursor(cursor, 2)
    if after:
        mark = (cursor_time(after[0]), cursor_int(after[1]))
        statement = statement.where(tuple_(RepoLike.created_at, RepoLike.user_id) < mark)
    found = [Liker(*row) for row in db.execute(statement)]
    return make_page(found, size, lambda item: [item.liked_at.isoformat(), item.user_id])


def list_liked_repos(
    db: Session, actor: Actor, user_id: int, *, cursor: str | None = None, limit: int | None = None
) -> Page[LikedRepo]:
    """What a person liked, as far as the actor may see it, the latest first."""
    size = check_limit(limit, default=100, maximum=1000)
    statement = (
        select(Repo.type, Namespace.name, Repo.name, RepoLike.created_at, Repo.id)
        .select_from(RepoLike)
        .join(Repo, Repo.id == RepoLike.repo_id)
        .join(Namespace, Namespace.id == Repo.namespace_id)
        .where(RepoLike.user_id == user_id, visible_to(actor))
        .order_by(RepoLike.created_at.desc(), Repo.id.desc())
        .limit(size + 1)
    )
    after = decode_cursor(cursor, 2)
    if after:
        mark = (cursor_time(after[0]), cursor_int(after[1]))
        statement = statement.where(tuple_(RepoLike.created_at, RepoLike.repo_id) < mark)
    found = [LikedRepo(kind, f"{ns}/{name}", at, id_) for kind, ns, name, at, id_ in db.execute(statement)]
    return make_page(found, size, lambda item: [item.liked_at.isoformat(), item.repo_id])
