"""Which result stands for a model on a board, and how much stands behind it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.orm import Session

from llmos.features.evals.metrics import DEFAULT_METRIC, ceiling_of, is_higher_better, skill_of
from llmos.features.evals.models import REPRODUCED, SIGNED, Benchmark, EvalResult, RecordNote
from llmos.features.evals.naming import find_datasets
from llmos.features.repos.models import Repo, RepoFacts, RepoLink

# Two runs of the same evaluation agree when their values differ by less than this part of them.
AGREEMENT = 1e-4


def settle_model(db: Session, repo: Repo) -> None:
    """Bring everything that follows from a model's results up to date, and the boards they are on."""
    rows = list(db.scalars(select(EvalResult).where(EvalResult.repo_id == repo.id).order_by(EvalResult.id)))
    hidden = _hidden(db, rows)
    known = _benchmarks(db, rows)
    is_open, precision = has_open_data(db, repo), _precision(db, repo)
    for row in rows:
        row.is_hidden = row.record_id in hidden
        row.has_open_data = is_open
        row.precision = row.precision or precision
        row.parameters = row.parameters or repo.total_parameters
        _order(row, known.get((row.dataset_id or 0, row.task_id)))
    for key in sorted({row.same_key for row in rows if row.same_key}):
        _confirm(db, key)
    show_best(rows)
    db.flush()
    count_models(db, {row.dataset_id for row in rows if row.dataset_id})


def settle_board(db: Session, dataset_id: int) -> None:
    """The rows of a board after its benchmark has changed."""
    rows = list(db.scalars(select(EvalResult).where(EvalResult.dataset_id == dataset_id)))
    known = _benchmarks(db, rows)
    for row in rows:
        _order(row, known.get((dataset_id, row.task_id)))
    groups: dict[int, list[EvalResult]] = {}
    for row in rows:
        groups.setdefault(row.repo_id, []).append(row)
    for group in groups.values():
        show_best(group)
    db.flush()
    count_models(db, {dataset_id})


def _hidden(db: Session, rows: Sequence[EvalResult]) -> set[str]:
    ids = {row.record_id for row in rows}
    statement = select(RecordNote.record_id).where(RecordNote.record_id.in_(ids), RecordNote.kind == "hidden")
    return set(db.scalars(statement)) if ids else set()


def _benchmarks(db: Session, rows: Sequence[EvalResult]) -> dict[tuple[int, str], Benchmark]:
    pairs = {(row.dataset_id, row.task_id) for row in rows if row.dataset_id}
    statement = select(Benchmark).where(tuple_(Benchmark.repo_id, Benchmark.task_id).in_(pairs))
    found = db.scalars(statement).unique() if pairs else ()
    return {(item.repo_id, item.task_id): item for item in found}


def _order(row: EvalResult, benchmark: Benchmark | None) -> None:
    """Where the value stands among others, by what the benchmark says of its metric."""
    if not row.signer_keyid:
        row.metric = benchmark.metric if benchmark is not None else DEFAULT_METRIC
    if benchmark is not None and row.metric == benchmark.metric:
        higher, chance, ceiling = benchmark.higher_is_better, benchmark.chance, benchmark.ceiling
    else:
        higher, chance, ceiling = is_higher_better(row.metric), None, ceiling_of(row.metric)
    row.order_value = row.value if higher else -row.value
    row.skill = skill_of(row.value, chance, ceiling) if higher else None


def _confirm(db: Session, key: str) -> None:
    """Count who has run the same and got the same: parties of equal keys beside the record's own."""
    rows = list(db.scalars(select(EvalResult).where(EvalResult.same_key == key)))
    for row in rows:
        agreeing = {other.party for other in rows if _agree(row, other)} - {row.party, ""}
        row.confirmations = len(agreeing)
        row.evidence = REPRODUCED if agreeing else SIGNED


def _agree(row: EvalResult, other: EvalResult) -> bool:
    return other.metric == row.metric and abs(other.value - row.value) <= AGREEMENT * max(
        abs(row.value), 1e-9
    )


def show_best(rows: Iterable[EvalResult]) -> None:
    """Of each model and task one row is shown: the best founded; then the newest of signed ones, the best
    of others, as nobody can pick among signed ones what suits them."""
    groups: dict[tuple[str, str], list[EvalResult]] = {}
    for row in rows:
        row.is_shown = False
        if not row.is_hidden:
            groups.setdefault((row.dataset_key, row.task_id), []).append(row)
    for group in groups.values():
        max(group, key=_rank).is_shown = True


def _rank(row: EvalResult) -> tuple[int, float, int]:
    second = row.created_at.timestamp() if row.evidence >= SIGNED else row.order_value
    return row.evidence, second, -row.pull_num


def count_models(db: Session, dataset_ids: Iterable[int]) -> None:
    """How many models that everybody may see are on each board."""
    for dataset_id in sorted(set(dataset_ids)):
        counted = (
            select(func.count())
            .select_from(EvalResult)
            .join(Repo, Repo.id == EvalResult.repo_id)
            .where(
                EvalResult.dataset_id == dataset_id,
                EvalResult.task_id == Benchmark.task_id,
                EvalResult.is_shown.is_(True),
                Repo.visibility != "private",
            )
            .scalar_subquery()
        )
        longest = (
            select(func.max(EvalResult.tokens))
            .where(EvalResult.dataset_id == dataset_id, EvalResult.task_id == Benchmark.task_id)
            .scalar_subquery()
        )
        change = update(Benchmark).where(Benchmark.repo_id == dataset_id)
        values = change.values(model_count=counted, tokens=longest)
        db.execute(values.execution_options(synchronize_session=False))


def _precision(db: Session, repo: Repo) -> str:
    """The number format most parameters of the head are stored in."""
    found = db.scalar(select(RepoFacts.safetensors).where(RepoFacts.repo_id == repo.id)) or {}
    counts = found.get("parameters")
    return max(counts, key=lambda name: counts[name])[:20] if isinstance(counts, dict) and counts else ""


def has_open_data(db: Session, repo: Repo) -> bool:
    """Whether the model names what it was trained on, and everybody can get all of it here."""
    statement = select(RepoLink.target_key).where(RepoLink.repo_id == repo.id, RepoLink.relation == "dataset")
    names = {key.removeprefix("dataset:") for key in db.scalars(statement)}
    found = find_datasets(db, names)
    if not names or len(found) < len(names):
        return False
    closed = select(Repo.id).where(
        Repo.id.in_(found.values()), (Repo.visibility == "private") | (Repo.gated != "")
    )
    return db.scalar(closed.limit(1)) is None
