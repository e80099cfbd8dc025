"""Runs looked up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.endpoints.models import Endpoint, Replica
from llmos.features.evals.models import SIGNED, Benchmark, EvalJob, EvalResult
from llmos.features.evals.shipped import OWNER
from llmos.features.jobs.models import Job
from llmos.features.quickstart.models import RUNNING, QuickstartRun
from llmos.features.repos.models import Repo
from llmos.features.repos.visibility import visible_to

MAX_ROWS = 500


def get_open_run(db: Session, user_id: int) -> QuickstartRun | None:
    statement = select(QuickstartRun).where(QuickstartRun.user_id == user_id, QuickstartRun.state == RUNNING)
    return db.scalars(statement.order_by(QuickstartRun.id.desc()).limit(1)).unique().first()


def list_runs(db: Session, user_id: int, limit: int = 10) -> list[QuickstartRun]:
    """Somebody's runs, newest first."""
    statement = select(QuickstartRun).where(QuickstartRun.user_id == user_id)
    return list(db.scalars(statement.order_by(QuickstartRun.id.desc()).limit(limit)).unique())


def list_open_ids(db: Session) -> list[int]:
    statement = select(QuickstartRun.id).where(QuickstartRun.state == RUNNING)
    return list(db.scalars(statement.order_by(QuickstartRun.id)))


def find_benchmarks(db: Session, names: Sequence[str]) -> list[Benchmark]:
    """Those of the named benchmarks that this instance has, one task of each."""
    wanted = [one.partition("/")[2] for one in names]
    statement = (
        select(Benchmark)
        .join(Repo, Repo.id == Benchmark.repo_id)
        .where(Repo.name.in_(wanted), Benchmark.position == 0)
        .order_by(Benchmark.language, Benchmark.id)
    )
    return [one for one in db.scalars(statement).unique() if one.repo.repo_name in names]


def list_jobs(db: Session, object_ids: Sequence[str]) -> list[Job]:
    if not object_ids:
        return []
    statement = select(Job).where(Job.object_id.in_(object_ids)).order_by(Job.id)
    return list(db.scalars(statement).unique())


def list_signed(db: Session, job_ids: Sequence[int]) -> list[EvalJob]:
    statement = select(EvalJob).where(EvalJob.job_id.in_(job_ids)).order_by(EvalJob.job_id)
    return list(db.scalars(statement))


def list_shown(db: Session, repo_id: int) -> list[EvalResult]:
    """What stands on boards for the model."""
    statement = select(EvalResult).where(EvalResult.repo_id == repo_id, EvalResult.is_shown.is_(True))
    # English first, as everywhere.
    return list(db.scalars(statement.order_by(EvalResult.dataset_key.desc(), EvalResult.task_id)))


def list_base_scores(db: Session, model: str, benchmarks: Sequence[str]) -> list[EvalResult]:
    """The signed scores of a model that others start from, one a benchmark; merged ones first."""
    owner, _, name = model.partition("/")
    statement = (
        select(EvalResult)
        .join(Repo, Repo.id == EvalResult.repo_id)
        .join(Namespace, Namespace.id == Repo.namespace_id)
        .where(
            Namespace.name == owner,
            Repo.name == name,
            Repo.type == RepoType.MODEL.value,
            EvalResult.evidence >= SIGNED,
            EvalResult.dataset_key.in_([one.lower() for one in benchmarks]),
        )
        .order_by(EvalResult.is_shown.desc(), EvalResult.id.desc())
    )
    found: dict[tuple[str, str], EvalResult] = {}
    for one in db.scalars(statement):
        found.setdefault((one.dataset_key, one.task_id), one)
    return list(found.values())


@dataclass(frozen=True, slots=True)
class Standing:
    """A line of a board. `rank` counts among the models that the actor may see."""

    dataset_id: int
    board: str
    task_id: str
    rank: int
    model: str
    metric: str
    value: float
    low: float | None
    high: float | None
    n: int | None
    is_own: bool
    is_baseline: bool


def list_standings(db: Session, actor: Actor, shown: Sequence[EvalResult], repo_id: int) -> list[Standing]:
    """The boards that the results stand on, best first; one query, at most MAX_ROWS lines."""
    boards = {(one.dataset_id, one.task_id) for one in shown if one.dataset_id}
    statement = (
        select(EvalResult, Repo.name, Namespace.name)
        .join(Repo, Repo.id == EvalResult.repo_id)
        .join(Namespace, Namespace.id == Repo.namespace_id)
        .where(
            EvalResult.dataset_id.in_([dataset_id for dataset_id, _ in boards]),
            EvalResult.is_shown.is_(True),
            Repo.disabled.is_(False),
            visible_to(actor),
        )
        .order_by(EvalResult.dataset_key.desc(), EvalResult.order_value.desc(), EvalResult.id)
        .limit(MAX_ROWS)
    )
    found: list[Standing] = []
    ranks: dict[tuple[int | None, str], int] = {}
    for result, name, owner in db.execute(statement):
        board = (result.dataset_id, result.task_id)
        if board not in boards:
            continue
        ranks[board] = ranks.get(board, 0) + 1
        found.append(
            Standing(
                dataset_id=result.dataset_id or 0,
                board=result.dataset_key,
                task_id=result.task_id,
                rank=ranks[board],
                model=f"{owner}/{name}",
                metric=result.metric,
                value=result.value,
                low=result.low,
                high=result.high,
                n=result.n,
                is_own=result.repo_id == repo_id,
                is_baseline=owner == OWNER and name.startswith("baseline-"),
            )
        )
    return found


def stage_of_replica(db: Session, model: str) -> str | None:
    """What the newest engine of a model does before it is ready."""
    owner, _, name = model.partition("/")
    statement = (
        select(Replica.stage)
        .join(Endpoint, Endpoint.id == Replica.endpoint_id)
        .join(Repo, Repo.id == Endpoint.repo_id)
        .join(Namespace, Namespace.id == Repo.namespace_id)
        .where(Repo.name == name, Namespace.name == owner, Replica.state == "starting")
        .order_by(Replica.id.desc())
        .limit(1)
    )
    return db.scalar(statement)
