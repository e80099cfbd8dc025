"""How much a person or organisation has, as far as the reader may know."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.repos.models import Repo, RepoLike
from llmos.features.repos.visibility import visible_to


def count_repos(db: Session, actor: Actor, namespace: Namespace) -> dict[RepoType, int]:
    """Repositories of a namespace by type; private ones as `visible_to` says."""
    statement = (
        select(Repo.type, func.count())
        .where(Repo.namespace_id == namespace.id, visible_to(actor))
        .group_by(Repo.type)
    )
    counts = {row[0]: row[1] for row in db.execute(statement)}
    return {kind: counts.get(kind.value, 0) for kind in RepoType}


def count_likes(db: Session, actor: Actor, user_id: int) -> int:
    """Repositories a person likes and the reader may see."""
    statement = (
        select(func.count())
        .select_from(RepoLike)
        .join(Repo, Repo.id == RepoLike.repo_id)
        .where(RepoLike.user_id == user_id, visible_to(actor))
    )
    return int(db.scalar(statement) or 0)
