"""The benchmarks of a data set, as rows."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.features.evals.metrics import ceiling_of, is_higher_better, main_metric, number_of
from llmos.features.evals.models import Benchmark, EvalResult
from llmos.features.evals.reading import Reading
from llmos.features.evals.standing import settle_board
from llmos.features.repos.cards.eval_results import EvalTask
from llmos.features.repos.cards.values import as_text
from llmos.features.repos.models import Repo


def store_benchmarks(db: Session, repo: Repo, reading: Reading | None) -> None:
    """One row for each task; results that waited for the data set find it, in whatever order things came."""
    spec = reading.spec if reading is not None else None
    old = {row.task_id: row for row in db.scalars(select(Benchmark).where(Benchmark.repo_id == repo.id))}
    known = {task.id[:120] for task in spec.tasks} if spec is not None else set()
    for task_id in set(old) - known:
        db.delete(old[task_id])
    for position, task in enumerate(spec.tasks if spec is not None else ()):
        assert spec is not None
        row = old.get(task.id[:120]) or Benchmark(repo_id=repo.id, task_id=task.id[:120])
        db.add(row)
        row.position, row.revision, row.updated_at = position, repo.head_oid, clock.now()
        row.title, row.description = (spec.name or repo.name)[:200], spec.description[:5000]
        row.framework = spec.evaluation_framework[:40]
        _fill_task(row, task, repo)
    db.flush()
    link = update(EvalResult).where(
        EvalResult.dataset_key == repo.repo_name.lower(), EvalResult.dataset_id.is_distinct_from(repo.id)
    )
    db.execute(link.values(dataset_id=repo.id))
    settle_board(db, repo.id)


def _fill_task(row: Benchmark, task: EvalTask, repo: Repo) -> None:
    settings = task.settings
    row.split, row.config = task.split[:120], (task.config or "")[:120]
    row.kind = (as_text(settings.get("kind")) or as_text(settings.get("output_type")) or "")[:40]
    row.language = (as_text(settings.get("language")) or _language(repo))[:20]
    row.metric = main_metric(settings)
    higher = settings.get("higher_is_better")
    row.higher_is_better = higher if isinstance(higher, bool) else is_higher_better(row.metric)
    row.chance = number_of(settings.get("chance"))
    ceiling = number_of(settings.get("ceiling"))
    row.ceiling = ceiling if ceiling is not None else ceiling_of(row.metric)


def _language(repo: Repo) -> str:
    found = [tag.removeprefix("language:") for tag in repo.tags if tag.startswith("language:")]
    return found[0] if len(found) == 1 else ""
