"""What a board shows: one row for each model, ranked, filtered, with its interval. One query a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, func, select
from sqlalchemy.orm import Session, aliased

from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.evals.models import REPRODUCED, SELF_REPORTED, SIGNED, Benchmark, CleanScore, EvalResult
from llmos.features.repos.models import Repo, RepoTag
from llmos.features.repos.page_queries import RANGES
from llmos.features.repos.visibility import visible_to

PAGE_SIZE = 50
MAX_LISTED = 5000
EVIDENCE = {"signed": SIGNED, "reproduced": REPRODUCED, "accepted": SELF_REPORTED}
SORTS: dict[str, Any] = {
    "score": EvalResult.order_value.desc(),
    "size": EvalResult.parameters.asc().nulls_last(),
    "energy": EvalResult.energy_wh.asc().nulls_last(),
    "newest": EvalResult.created_at.desc(),
}


@dataclass(frozen=True)
class BoardQuery:
    """What a reader asked of a board; empty: does not matter. `evidence` is a key of EVIDENCE."""

    task_id: str = ""
    size: str = ""
    license: str = ""
    language: str = ""
    precision: str = ""
    evidence: str = ""
    has_open_data: bool = False
    base_models_only: bool = False
    sort: str = "score"


@dataclass(slots=True)
class BoardRow:
    """One model on a board. `rank` counts by score among the rows of the query."""

    result_id: int
    repo_id: int
    owner: str
    name: str
    value: float
    low: float | None
    high: float | None
    n: int | None
    metric: str
    evidence: int
    confirmations: int
    signer_name: str
    record_id: str
    same_key: str
    revision: str | None
    pull_num: int
    is_in_tree: bool
    doubt: str
    claim: str
    parameters: int | None
    precision: str
    license: str | None
    has_open_data: bool
    energy_wh: float | None
    wall_s: float | None
    tokens: int | None
    created_at: datetime
    filename: str
    notes: str
    source_url: str
    source_name: str
    order_value: float
    found_items: int | None
    clean_value: float | None
    rank: int = 0
    band: str = ""

    @property
    def model_name(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def joules_per_token(self) -> float | None:
        return self.energy_wh * 3600 / self.tokens if self.energy_wh is not None and self.tokens else None


@dataclass(slots=True)
class BoardPage:
    rows: list[BoardRow]
    total: int
    start: int = 0
    facets: dict[str, list[str]] = field(default_factory=dict)


_COLUMNS: tuple[Any, ...] = (
    EvalResult.id, EvalResult.repo_id, Namespace.name, Repo.name, EvalResult.value, EvalResult.low,
    EvalResult.high, EvalResult.n, EvalResult.metric, EvalResult.evidence, EvalResult.confirmations,
    EvalResult.signer_name, EvalResult.record_id, EvalResult.same_key, EvalResult.revision,
    EvalResult.pull_num, EvalResult.is_in_tree, EvalResult.doubt, EvalResult.claim,
    EvalResult.parameters, EvalResult.precision, Repo.license, EvalResult.has_open_data,
    EvalResult.energy_wh, EvalResult.wall_s, EvalResult.tokens, EvalResult.created_at,
    EvalResult.filename, EvalResult.notes, EvalResult.source_url, EvalResult.source_name,
    EvalResult.order_value, CleanScore.items, CleanScore.value,
)  # fmt: skip


def list_board(
    db: Session, actor: Actor, dataset_id: int, query: BoardQuery, *, start: int = 0, limit: int = PAGE_SIZE
) -> BoardPage:
    """One page of the models that the actor may see, and how many there are; two queries."""
    where = _conditions(actor, dataset_id, query)
    counted = select(func.count()).select_from(EvalResult).join(Repo, Repo.id == EvalResult.repo_id)
    total = db.scalar(counted.where(*where)) or 0
    order = SORTS.get(query.sort, SORTS["score"])
    statement = _rows(where).order_by(order, EvalResult.order_value.desc(), EvalResult.id)
    rows = [BoardRow(*row) for row in db.execute(statement.offset(start).limit(limit))]
    for place, row in enumerate(rows, start + 1):
        row.rank = place
    return BoardPage(rows, total, start)


class Standing(NamedTuple):
    """A model on a board, as much of it as the Hub tells."""

    repo_id: int
    owner: str
    name: str
    value: float
    evidence: int
    record_id: str
    filename: str
    pull_num: int
    notes: str
    source_url: str
    source_name: str

    @property
    def model_name(self) -> str:
        return f"{self.owner}/{self.name}"


_STANDING: tuple[Any, ...] = (
    EvalResult.repo_id, Namespace.name, Repo.name, EvalResult.value, EvalResult.evidence,
    EvalResult.record_id, EvalResult.filename, EvalResult.pull_num, EvalResult.notes,
    EvalResult.source_url, EvalResult.source_name,
)  # fmt: skip


def list_standing(
    db: Session, actor: Actor, dataset_id: int, query: BoardQuery, *, limit: int
) -> list[Standing]:
    """The first `limit` rows by score, of thousands in some milliseconds; one query."""
    statement = (
        select(*_STANDING)
        .join(Repo, Repo.id == EvalResult.repo_id)
        .join(Namespace, Namespace.id == Repo.namespace_id)
        .where(*_conditions(actor, dataset_id, query))
        .order_by(EvalResult.order_value.desc(), EvalResult.id)
        .limit(limit)
    )
    return [Standing(*row) for row in db.execute(statement)]


def _rows(where: Sequence[ColumnElement[bool]]) -> Select[Any]:
    return (
        select(*_COLUMNS)
        .join(Repo, Repo.id == EvalResult.repo_id)
        .join(Namespace, Namespace.id == Repo.namespace_id)
        .outerjoin(CleanScore, CleanScore.record_id == EvalResult.record_id)
        .where(*where)
    )


def _conditions(actor: Actor, dataset_id: int, query: BoardQuery) -> list[ColumnElement[bool]]:
    found = [EvalResult.dataset_id == dataset_id, EvalResult.is_shown.is_(True), visible_to(actor)]
    found.append(Repo.disabled.is_(False))
    if query.task_id:
        found.append(EvalResult.task_id == query.task_id)
    if query.size in RANGES["params"]:
        low, high = RANGES["params"][query.size]
        found.append(and_(EvalResult.parameters >= low, EvalResult.parameters < high))
    if query.license:
        found.append(Repo.license == query.license)
    if query.precision:
        found.append(EvalResult.precision == query.precision)
    if query.evidence in EVIDENCE:
        found.append(EvalResult.evidence >= EVIDENCE[query.evidence])
    if query.has_open_data:
        found.append(EvalResult.has_open_data.is_(True))
    if query.language:
        found.append(_has_tag(RepoTag.tag == query.language))
    if query.base_models_only:
        found.append(~_has_tag(RepoTag.tag.startswith("base_model:", autoescape=True)))
    return found


def _has_tag(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return select(RepoTag.repo_id).where(RepoTag.repo_id == Repo.id, condition).exists()


def board_facets(db: Session, actor: Actor, dataset_id: int, task_id: str) -> dict[str, list[str]]:
    """The licences and number formats on a board, for its filters; one query."""
    statement = (
        select(Repo.license, EvalResult.precision)
        .join(Repo, Repo.id == EvalResult.repo_id)
        .where(*_conditions(actor, dataset_id, BoardQuery(task_id=task_id)))
        .distinct()
        .limit(1000)
    )
    rows = db.execute(statement).all()
    return {
        "license": sorted({row[0] for row in rows if row[0]}),
        "precision": sorted({row[1] for row in rows if row[1]}),
    }


def list_benchmarks(
    db: Session, actor: Actor, *, language: str = "", kind: str = "", search: str = "", limit: int = 200
) -> list[Benchmark]:
    """The benchmarks the actor may see, those with most models first."""
    statement = (
        select(Benchmark)
        .join(Repo, Repo.id == Benchmark.repo_id)
        .where(visible_to(actor), Repo.disabled.is_(False))
        .order_by(Benchmark.model_count.desc(), Benchmark.title, Benchmark.repo_id, Benchmark.position)
        .limit(limit)
    )
    if language:
        statement = statement.where(Benchmark.language == language)
    if kind:
        statement = statement.where(Benchmark.kind == kind)
    if search:
        statement = statement.where(Benchmark.title.icontains(search, autoescape=True))
    return list(db.scalars(statement).unique())


def benchmark_facets(db: Session, actor: Actor) -> dict[str, list[str]]:
    statement = (
        select(Benchmark.language, Benchmark.kind)
        .join(Repo, Repo.id == Benchmark.repo_id)
        .where(visible_to(actor))
        .distinct()
    )
    rows = db.execute(statement).all()
    return {
        "language": sorted({row[0] for row in rows if row[0]}),
        "kind": sorted({row[1] for row in rows if row[1]}),
    }


def list_tasks(db: Session, repo_id: int) -> list[Benchmark]:
    """The tasks of a benchmark, in the order of its `eval.yaml`."""
    statement = select(Benchmark).where(Benchmark.repo_id == repo_id).order_by(Benchmark.position)
    return list(db.scalars(statement).unique())


def list_model_results(db: Session, actor: Actor, repo_id: int) -> list[tuple[EvalResult, str | None]]:
    """All results of a model, with the present name of the data set where the actor may see it."""
    dataset, owner = aliased(Repo), aliased(Namespace)
    # The condition speaks of `Repo`; here the data set is the repository in question.
    visible = select(Repo.id).where(Repo.id == EvalResult.dataset_id, visible_to(actor)).exists()
    statement = (
        select(EvalResult, owner.name, dataset.name)
        .select_from(EvalResult)
        .outerjoin(dataset, and_(dataset.id == EvalResult.dataset_id, visible))
        .outerjoin(owner, owner.id == dataset.namespace_id)
        .where(EvalResult.repo_id == repo_id, EvalResult.is_hidden.is_(False))
        .order_by(EvalResult.dataset_key, EvalResult.task_id, EvalResult.created_at.desc())
        .limit(MAX_LISTED)
    )
    return [(row[0], f"{row[1]}/{row[2]}" if row[1] else None) for row in db.execute(statement)]


def list_authors(db: Session, names: set[str]) -> dict[str, Namespace]:
    """Who owns the models of a board, by name."""
    found = db.scalars(select(Namespace).where(Namespace.name.in_(names))).unique()
    return {owner.name: owner for owner in found}
