"""Where facts of a head are stored, what they say about evaluation is stored with them."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import CursorResult, delete, select
from sqlalchemy.orm import Session

from llmos.core.repo_types import RepoType
from llmos.features.evals.benchmarks import store_benchmarks
from llmos.features.evals.evidence import read_payload, read_statement
from llmos.features.evals.instances import is_trusted
from llmos.features.evals.log import list_logged
from llmos.features.evals.models import EvalResult, LogEntry
from llmos.features.evals.naming import find_datasets
from llmos.features.evals.overlaps import forget_scores, store_overlaps
from llmos.features.evals.reading import NAME, Reading
from llmos.features.evals.rows import Rows, row_of_record
from llmos.features.evals.standing import settle_model
from llmos.features.repos.head_facts import HeadFacts
from llmos.features.repos.indexing import head_stored
from llmos.features.repos.models import Repo


def store_head(db: Session, repo: Repo, facts: HeadFacts) -> None:
    """Called in the transaction that stores the facts of a head."""
    reading = facts.more.get(NAME)
    if repo.repo_type is RepoType.DATASET:
        store_benchmarks(db, repo, reading)
        store_overlaps(db, repo, reading.overlaps if reading is not None else {})
    elif repo.repo_type is RepoType.MODEL:
        store_results(db, repo, reading)


head_stored.append(store_head)


def store_results(db: Session, repo: Repo, reading: Reading | None, pull_num: int = 0) -> None:
    """The rows of the default branch (0) or of an open pull request, in place of those there were."""
    old = delete(EvalResult).where(EvalResult.repo_id == repo.id, EvalResult.pull_num == pull_num)
    had = cast(CursorResult[Any], db.execute(old)).rowcount
    if reading is not None:
        Rows(db, repo, reading, pull_num).store()
    if reading is None and not had and not _has_log(db, repo.id):
        return
    restore_logged(db, repo)
    settle_model(db, repo)
    forget_scores(db, repo)


def _has_log(db: Session, repo_id: int) -> bool:
    return db.scalar(select(LogEntry.leaf_index).where(LogEntry.repo_id == repo_id).limit(1)) is not None


def restore_logged(db: Session, repo: Repo) -> None:
    """Rows for records of the log whose files are no longer there: who wrote a model cannot unwrite them."""
    rows = select(EvalResult.record_id).where(EvalResult.repo_id == repo.id, EvalResult.signer_keyid != "")
    present = set(db.scalars(rows))
    for entry in list_logged(db, repo.id):
        if entry.record_id in present or not is_trusted(db, entry):
            continue
        predicate = read_statement(read_payload(entry.envelope)).predicate
        datasets = find_datasets(db, [predicate.benchmark.repo or ""])
        row = row_of_record(db, repo, predicate, entry, datasets)
        if row is not None:
            row.commit_oid, row.is_in_tree, row.filename = entry.commit_oid, False, ""
            db.add(row)
    db.flush()
