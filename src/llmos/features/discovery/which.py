"""Which model fits: what can be done with the memory at hand, ranked, with the reasons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session, aliased

from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.repos.cards.memory import MEMORY_FACTOR
from llmos.features.repos.models import Repo, RepoFacts, RepoTag
from llmos.features.repos.visibility import visible_to

GB = 1024**3
MAX_LOOKED_AT = 400
SHOWN = 20
# What a 4-bit quantisation needs per parameter, with its scales.
FOUR_BIT_BYTES = 4.85 / 8


@dataclass(frozen=True, slots=True)
class Wish:
    """Empty means: does not matter. `memory_gb` 0 asks for no limit."""

    task: str = ""
    language: str = ""
    licence: str = ""
    memory_gb: float = 0.0


@dataclass(slots=True)
class Candidate:
    """`quantised_bytes` is set where the model fits only after a 4-bit quantisation."""

    repo: Repo
    needs_bytes: int | None
    quantised_bytes: int | None = None
    evaluations: int = 0
    score: float = 0.0


@dataclass(slots=True)
class Answer:
    """Models that fit, those that fit after quantisation, and how many matched but are too large."""

    fitting: list[Candidate] = field(default_factory=list)
    quantised: list[Candidate] = field(default_factory=list)
    too_large: int = 0
    unknown: int = 0
    smallest: Candidate | None = None


def which_models(db: Session, actor: Actor, wish: Wish) -> Answer:
    """Rank the models that match the wish. Two queries.

    Among those that fit, a larger model is usually the better one, people's likes and downloads
    say what works, and published evaluations count extra:
    score = 2 log10(parameters) + log2(1 + likes) + 0.5 log2(1 + downloads) + 1 if evaluated.
    """
    statement = (
        select(Repo)
        .where(Repo.type == RepoType.MODEL.value, Repo.disabled.is_(False), visible_to(actor), *_wanted(wish))
        .order_by(Repo.likes.desc(), Repo.downloads.desc(), Repo.id.desc())
        .limit(MAX_LOOKED_AT)
    )
    repos = list(db.scalars(statement).unique())
    evaluated = _evaluations(db, [repo.id for repo in repos])
    answer = Answer()
    limit_bytes = int(wish.memory_gb * GB)
    for repo in repos:
        candidate = Candidate(repo, repo.inference_bytes, evaluations=evaluated.get(repo.id, 0))
        candidate.score = _score(candidate)
        _place(answer, candidate, limit_bytes)
    answer.fitting = sorted(answer.fitting, key=lambda item: -item.score)[:SHOWN]
    answer.quantised = sorted(answer.quantised, key=lambda item: -item.score)[:SHOWN]
    return answer


def _wanted(wish: Wish) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wish.task:
        found.append(Repo.pipeline_tag == wish.task)
    if wish.licence:
        found.append(Repo.license == wish.licence)
    if wish.language:
        tag = aliased(RepoTag)
        found.append(select(tag.repo_id).where(tag.repo_id == Repo.id, tag.tag == wish.language).exists())
    return found


def _evaluations(db: Session, ids: Sequence[int]) -> dict[int, int]:
    """How many results each model reports."""
    rows = db.execute(select(RepoFacts.repo_id, RepoFacts.extra).where(RepoFacts.repo_id.in_(ids)))
    counts = {}
    for repo_id, extra in rows:
        results = sum(len(model.get("results") or ()) for model in (extra or {}).get("modelIndex") or ())
        counts[repo_id] = results + len((extra or {}).get("evalResults") or ())
    return counts


def _score(candidate: Candidate) -> float:
    repo = candidate.repo
    size = 2 * math.log10(max(repo.total_parameters or 1, 1))
    people = math.log2(1 + repo.likes) + 0.5 * math.log2(1 + repo.downloads)
    return size + people + (1.0 if candidate.evaluations else 0.0)


def _place(answer: Answer, candidate: Candidate, limit_bytes: int) -> None:
    needs = candidate.needs_bytes
    if not limit_bytes:
        answer.fitting.append(candidate)
        return
    if needs is None:
        answer.unknown += 1
        return
    if needs <= limit_bytes:
        answer.fitting.append(candidate)
        return
    if answer.smallest is None or needs < (answer.smallest.needs_bytes or 0):
        answer.smallest = candidate
    small = int((candidate.repo.total_parameters or 0) * FOUR_BIT_BYTES * MEMORY_FACTOR)
    if 0 < small <= limit_bytes and small < needs:
        candidate.quantised_bytes = small
        answer.quantised.append(candidate)
    else:
        answer.too_large += 1
