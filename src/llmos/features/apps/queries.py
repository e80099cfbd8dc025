"""Which models an application may choose from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import ANONYMOUS
from llmos.features.endpoints.servable import describe_servable
from llmos.features.repos.models import Repo
from llmos.features.repos.visibility import visible_to
from llmos.infra.runtime import Runtime

MAX_TASKS = 8
_MAX_MODELS = 30
_MAX_LOOKED_AT = 60


def list_models(db: Session, rt: Runtime, tasks: Sequence[str]) -> list[dict[str, Any]]:
    """Public models for these tasks that can be served, the liveliest first: name, task, chat.

    Public ones only, whoever looks: an application must not learn what its visitors keep to themselves.
    """
    statement = (
        select(Repo)
        .where(
            Repo.type == RepoType.MODEL.value,
            Repo.pipeline_tag.in_(list(tasks)[:MAX_TASKS]),
            Repo.disabled.is_(False),
            Repo.gated == "",
            visible_to(ANONYMOUS),
        )
        .order_by(Repo.trending_score.desc(), Repo.updated_at.desc(), Repo.id.desc())
        .limit(_MAX_LOOKED_AT)
    )
    found = []
    for repo in db.scalars(statement).unique():
        servable = describe_servable(db, rt, repo)
        if servable.is_servable:
            is_chat = servable.has_chat_template
            found.append({"name": repo.repo_name, "task": repo.pipeline_tag, "chat": is_chat})
    return found[:_MAX_MODELS]
