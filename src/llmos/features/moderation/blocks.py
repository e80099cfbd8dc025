"""The block list of a repository: who may not write in its discussions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, Conflict
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import User
from llmos.features.moderation.models import RepoBlock
from llmos.features.moderation.power import can_keep_repo
from llmos.features.repos.models import Repo
from llmos.features.repos.policy import refuse
from llmos.infra.db.upsert import upsert
from llmos.infra.i18n import lazy

MAX_DAYS = 3650


def _check(actor: Actor, repo: Repo) -> None:
    if not can_keep_repo(actor, repo):
        refuse(actor, lazy("Only maintainers of %(repo)s may do this.", repo=repo.repo_name))


def list_blocks(db: Session, actor: Actor, repo: Repo) -> Sequence[RepoBlock]:
    """Who is blocked, newest first; for maintainers."""
    _check(actor, repo)
    statement = select(RepoBlock).where(RepoBlock.repo_id == repo.id).order_by(RepoBlock.created_at.desc())
    return db.scalars(statement.limit(500)).unique().all()


def block_user(
    db: Session, actor: Actor, repo: Repo, user: User, *, reason: str = "", days: int | None = None
) -> None:
    """Keep a person out of the repository's discussions, for `days` or (None) until unblocked.

    Raises Forbidden, BadRequest (days, reason), Conflict for whoever belongs to the repository.
    """
    _check(actor, repo)
    if user.id == actor.user_id or user.id in (repo.namespace_id, repo.created_by_id):
        raise Conflict(lazy("%(name)s belongs to this repository and cannot be blocked.", name=user.name))
    if days is not None and not 1 <= days <= MAX_DAYS:
        raise BadRequest(lazy("days must be 1 to %(limit)s, or empty for no end.", limit=MAX_DAYS))
    if len(reason) > 300 or "\0" in reason:
        raise BadRequest(lazy("reason is too long: at most %(limit)s characters.", limit=300))
    now = clock.now()
    row = {"repo_id": repo.id, "user_id": user.id, "reason": reason.strip(), "blocked_by_id": actor.user_id,
           "created_at": now, "ends_at": now + timedelta(days=days) if days else None}  # fmt: skip
    upsert(db, RepoBlock, [row], keys=["repo_id", "user_id"],
           update=["reason", "blocked_by_id", "created_at", "ends_at"])  # fmt: skip
    audit.record(db, actor, "repo.block", repo.repo_name, user=user.name, days=days)


def unblock_user(db: Session, actor: Actor, repo: Repo, user: User) -> None:
    """Let a person write again; no error where they could."""
    _check(actor, repo)
    db.execute(delete(RepoBlock).where(RepoBlock.repo_id == repo.id, RepoBlock.user_id == user.id))
    audit.record(db, actor, "repo.unblock", repo.repo_name, user=user.name)
