"""How much a person has opened."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llmos.features.accounts.actor import Actor
from llmos.features.discussions.models import DRAFT, TOPIC, Thread
from llmos.features.repos.models import Repo
from llmos.features.repos.visibility import visible_to


def count_opened(db: Session, actor: Actor, user_id: int) -> int:
    """Discussions and pull requests a person opened in repositories the actor may know of."""
    statement = (
        select(func.count())
        .select_from(Thread)
        .join(Repo, Repo.id == Thread.repo_id)
        .where(
            Thread.author_id == user_id,
            Thread.kind != TOPIC,
            Thread.status != DRAFT,
            Thread.hidden_at.is_(None),
            visible_to(actor),
        )
    )
    return db.scalar(statement) or 0
