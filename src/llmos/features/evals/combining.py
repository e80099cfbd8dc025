"""Composite boards: the mean skill of models over several benchmarks.

Skill is (score - chance) / (best - chance): guessing is 0, the best there can be is 1. A model is ranked
by how many of the benchmarks it has answered first, then by the mean over those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.evals.models import SIGNED, Benchmark, EvalResult
from llmos.features.repos.models import Repo
from llmos.features.repos.visibility import visible_to


@dataclass(slots=True)
class CombinedRow:
    """`skills` are in order of the benchmarks, None where the model has no result."""

    rank: int
    model: str
    mean: float
    count: int
    signed: int
    skills: list[float | None] = field(default_factory=list)


def combine(
    db: Session, actor: Actor, benchmarks: Sequence[Benchmark], *, start: int = 0, limit: int = 50
) -> tuple[list[CombinedRow], int]:
    """One page of the composite board and how many models are on it; three queries."""
    places = {(one.repo_id, one.task_id): place for place, one in enumerate(benchmarks)}
    chosen = (
        EvalResult.is_shown.is_(True),
        EvalResult.dataset_id.in_({one.repo_id for one in benchmarks}),
        tuple_(EvalResult.dataset_id, EvalResult.task_id).in_(list(places)),
        EvalResult.skill.is_not(None),
    )
    mean, count = func.avg(EvalResult.skill).label("mean"), func.count().label("count")
    grouped = select(EvalResult.repo_id, mean, count).where(*chosen).group_by(EvalResult.repo_id).subquery()
    shown = (visible_to(actor), Repo.disabled.is_(False))
    joined = select(grouped.c.repo_id).join(Repo, Repo.id == grouped.c.repo_id).where(*shown)
    total = db.scalar(select(func.count()).select_from(joined.subquery())) or 0
    page = (
        select(grouped.c.repo_id, grouped.c.mean, grouped.c.count, Namespace.name, Repo.name)
        .join(Repo, Repo.id == grouped.c.repo_id)
        .join(Namespace, Namespace.id == Repo.namespace_id)
        .where(*shown)
        .order_by(grouped.c.count.desc(), grouped.c.mean.desc(), grouped.c.repo_id)
        .offset(start)
        .limit(limit)
    )
    rows: dict[int, CombinedRow] = {}
    for place, row in enumerate(db.execute(page), start + 1):
        rows[row[0]] = CombinedRow(place, f"{row[3]}/{row[4]}", row[1], row[2], 0, [None] * len(places))
    cells = select(
        EvalResult.repo_id, EvalResult.dataset_id, EvalResult.task_id, EvalResult.skill, EvalResult.evidence
    ).where(*chosen, EvalResult.repo_id.in_(rows))
    for cell in db.execute(cells):
        found = rows[cell[0]]
        found.skills[places[cell[1] or 0, cell[2]]] = cell[3]
        found.signed += cell[4] >= SIGNED
    return list(rows.values()), total
