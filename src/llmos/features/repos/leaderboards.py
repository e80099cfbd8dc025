"""The leaderboard of a data set: what models report in `.eval_results` about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.repos.models import Repo, RepoFacts, RepoLink
from llmos.features.repos.visibility import visible_to

MAX_MODELS = 2000


@dataclass(frozen=True, slots=True)
class LeaderboardEntry:
    """The best value a model reports; `author` owns the model."""

    rank: int
    model_name: str
    value: float
    filename: str
    source: dict[str, Any] | None
    notes: str | None
    author: Namespace


def list_leaderboard(
    db: Session, actor: Actor, dataset: Repo, *, base_models_only: bool = False, task_id: str | None = None
) -> list[LeaderboardEntry]:
    """Visible models by their best value on the data set, highest first.

    `base_models_only` leaves out models derived from another one; `task_id` picks one task.
    """
    statement = (
        select(Repo, RepoFacts.extra)
        .join(RepoLink, RepoLink.repo_id == Repo.id)
        .join(RepoFacts, RepoFacts.repo_id == Repo.id)
        .where(
            RepoLink.relation == "eval_result",
            RepoLink.target_key == f"dataset:{dataset.repo_name}".lower(),
            Repo.type == "model",
            visible_to(actor),
        )
        .order_by(Repo.id)
        .limit(MAX_MODELS)
    )
    best = []
    for repo, extra in db.execute(statement):
        if base_models_only and extra.get("baseModels"):
            continue
        result = _best_result(extra.get("evalResults", []), dataset.repo_name.lower(), task_id)
        if result is not None:
            best.append((repo, result))
    best.sort(key=lambda item: -item[1]["data"]["value"])
    return [_entry(rank, repo, result) for rank, (repo, result) in enumerate(best, start=1)]


def _best_result(results: list[Any], dataset_key: str, task_id: str | None) -> dict[str, Any] | None:
    found = [
        result
        for result in results
        if "data" in result
        and result["data"]["dataset"]["id"].lower() == dataset_key
        and task_id in (None, result["data"]["dataset"]["task_id"])
    ]
    return max(found, key=lambda result: result["data"]["value"], default=None)


def _entry(rank: int, repo: Repo, result: dict[str, Any]) -> LeaderboardEntry:
    data = result["data"]
    return LeaderboardEntry(
        rank=rank,
        model_name=repo.repo_name,
        value=data["value"],
        filename=result["filename"],
        source=data.get("source"),
        notes=data.get("notes"),
        author=repo.namespace,
    )
