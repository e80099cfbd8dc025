"""Composite boards: the mean skill of models over several benchmarks.

Skill is (score - chance) / (best - chance): guessing is 0, the best there can be is 1. A model is ranked
by how many of the benchmarks it has answered first, then by the mean over those.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, func, select, tuple_
from sqlalchemy.orm import Session

from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.evals.models import SIGNED, Benchmark, EvalResult
from llmos.features.repos.models import Repo
from llmos.features.repos.visibility import visible_to
from llmos.infra.git.caches import LruCache

KEPT_S = 20


@dataclass(slots=True)
class CombinedRow:
    """`skills` are in order of the benchmarks, None where the model has no result."""

    rank: int
    model: str
    mean: float
    count: int
    signed: int
    skills: list[float | None] = field(default_factory=list)


# Means of a choice of benchmarks: numbers and ids of models alone, which say nothing of who may see them.
_means: LruCache[tuple[object, ...], list[tuple[int, float, int]]] = LruCache(32)


def combine(
    db: Session, actor: Actor, benchmarks: Sequence[Benchmark], *, start: int = 0, limit: int = 50
) -> tuple[list[CombinedRow], int]:
    """One page of the composite board and how many models are on it; five queries at most."""
    ranked = _ranked(db, benchmarks)
    unseen = ~visible_to(actor) | Repo.disabled.is_(True)
    hidden = set(db.scalars(select(Repo.id).where(Repo.type == RepoType.MODEL.value, unseen)))
    kept = [row for row in ranked if row[0] not in hidden] if hidden else ranked
    page = kept[start : start + limit]
    ids = [row[0] for row in page]
    named = select(Repo.id, Namespace.name, Repo.name).join(Namespace, Namespace.id == Repo.namespace_id)
    names = {row[0]: f"{row[1]}/{row[2]}" for row in db.execute(named.where(Repo.id.in_(ids)))}
    places = {(one.repo_id, one.task_id): place for place, one in enumerate(benchmarks)}
    rows = {
        repo_id: CombinedRow(place, names[repo_id], mean, count, 0, [None] * len(places))
        for place, (repo_id, mean, count) in enumerate(page, start + 1)
        if repo_id in names  # deleted meanwhile
    }
    cells = select(
        EvalResult.repo_id, EvalResult.dataset_id, EvalResult.task_id, EvalResult.skill, EvalResult.evidence
    ).where(*_chosen(benchmarks), EvalResult.repo_id.in_(rows))
    for cell in db.execute(cells):
        found = rows[cell[0]]
        found.skills[places[cell[1] or 0, cell[2]]] = cell[3]
        found.signed += cell[4] >= SIGNED
    return list(rows.values()), len(kept)


def _chosen(benchmarks: Sequence[Benchmark]) -> tuple[ColumnElement[bool], ...]:
    pairs = [(one.repo_id, one.task_id) for one in benchmarks]
    return (
        EvalResult.is_shown.is_(True),
        EvalResult.dataset_id.in_({one.repo_id for one in benchmarks}),
        tuple_(EvalResult.dataset_id, EvalResult.task_id).in_(pairs),
        EvalResult.skill.is_not(None),
    )


def _ranked(db: Session, benchmarks: Sequence[Benchmark]) -> list[tuple[int, float, int]]:
    """(model, mean, count), the best first; at most KEPT_S old where no result came since."""
    newest = db.scalar(select(func.max(EvalResult.id)))
    chosen = tuple((one.repo_id, one.task_id) for one in benchmarks)
    key = (str(db.get_bind().engine.url), newest, chosen, int(time.monotonic() / KEPT_S))
    found = _means.get(key)
    if found is None:
        mean, count = func.avg(EvalResult.skill), func.count()
        grouped = select(EvalResult.repo_id, mean, count).where(*_chosen(benchmarks))
        rows = db.execute(grouped.group_by(EvalResult.repo_id))
        found = sorted(((row[0], row[1], row[2]) for row in rows), key=lambda row: (-row[2], -row[1], row[0]))
        _means.put(key, found)
    return found
