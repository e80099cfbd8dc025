"""Results in pull requests, and what else moves boards: settings, names, closed requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.discussions.models import DRAFT, OPEN, Thread
from llmos.features.evals.models import EvalResult
from llmos.features.evals.reading import Reading, read_revision
from llmos.features.evals.standing import count_models
from llmos.features.evals.storing import store_results
from llmos.features.repos.models import Repo
from llmos.features.repos.places import git_path
from llmos.features.repos.push import Record, RefUpdate, pulls_opening, refs_moving
from llmos.infra.git.revisions import PULL_PREFIX
from llmos.infra.queue.outbox import on
from llmos.infra.runtime import Runtime


def _look_at(rt: Runtime, actor: Actor, repo: Repo, updates: Sequence[RefUpdate]) -> Record | None:
    """Read the results of pull requests that move, before the transaction."""
    if repo.repo_type is not RepoType.MODEL:
        return None
    found: list[tuple[int, Reading | None]] = []
    for item in updates:
        num = item.ref.removeprefix(PULL_PREFIX)
        if item.ref.startswith(PULL_PREFIX) and num.isdecimal():
            reading = read_revision(rt, git_path(rt, repo), item.new_oid) if item.new_oid else None
            found.append((int(num), reading))
    return _record(found) if found else None


def _record(found: Sequence[tuple[int, Reading | None]]) -> Record:
    def record(db: Session, repo: Repo) -> None:
        for num, reading in found:
            store_results(db, repo, reading, num)

    return record


refs_moving.append(_look_at)


def _read_opening(rt: Runtime, repo: Repo, head_oid: str) -> Callable[[Session, Repo, int], None] | None:
    if repo.repo_type is not RepoType.MODEL:
        return None
    reading = read_revision(rt, git_path(rt, repo), head_oid)
    return partial(_store_opened, reading) if reading is not None else None


def _store_opened(reading: Reading, db: Session, repo: Repo, num: int) -> None:
    store_results(db, repo, reading, num)


pulls_opening.append(_read_opening)


@on("ThreadStatusChanged")
@on("PullMerged")
def forget_closed(db: Session, payload: dict[str, Any]) -> None:
    """A closed request takes its self-reported values with it; what is in the log stays on the board."""
    thread = db.get(Thread, payload["thread_id"])
    if thread is None or thread.repo_id is None or thread.status in (OPEN, DRAFT):
        return
    repo = db.get(Repo, thread.repo_id)
    if repo is not None and repo.repo_type is RepoType.MODEL:
        store_results(db, repo, None, thread.num)


@on("RepoSettingsChanged")
@on("RepoRestored")
def count_again(db: Session, payload: dict[str, Any]) -> None:
    """A model that became private, or public, counts no more, or again."""
    statement = select(EvalResult.dataset_id).where(EvalResult.repo_id == payload["repo_id"]).distinct()
    count_models(db, [found for found in db.scalars(statement) if found])


@on("RepoMoved")
def rename(db: Session, payload: dict[str, Any]) -> None:
    """Results name a data set as it is called now."""
    repo = db.get(Repo, payload["repo_id"])
    if repo is not None and repo.repo_type is RepoType.DATASET:
        change = update(EvalResult).where(EvalResult.dataset_id == repo.id)
        db.execute(change.values(dataset_key=repo.repo_name.lower()[:200]))
