"""Results looked up for others: by model, by record."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.errors import NotFound
from llmos.features.accounts.actor import Actor
from llmos.features.evals.models import EvalResult, RecordNote
from llmos.features.repos.models import Repo
from llmos.features.repos.visibility import visible_to
from llmos.infra.i18n import lazy


def results_by_model(db: Session, repo_ids: Sequence[int]) -> dict[int, list[EvalResult]]:
    """What models have to show, hidden results left out; in order of benchmark."""
    statement = (
        select(EvalResult)
        .where(EvalResult.repo_id.in_(repo_ids), EvalResult.is_hidden.is_(False))
        .order_by(EvalResult.dataset_key, EvalResult.task_id, EvalResult.id)
    )
    found: dict[int, list[EvalResult]] = {}
    for row in db.scalars(statement):
        found.setdefault(row.repo_id, []).append(row)
    return found


def access_result(db: Session, actor: Actor, record_id: str) -> tuple[EvalResult, Repo]:
    """A result by the id of its record, with its model. NotFound where the actor may not see the model."""
    statement = (
        select(EvalResult, Repo)
        .join(Repo, Repo.id == EvalResult.repo_id)
        .where(EvalResult.record_id == record_id, visible_to(actor))
        .order_by(EvalResult.evidence.desc(), EvalResult.pull_num, EvalResult.id)
        .limit(1)
    )
    row = db.execute(statement).unique().first()
    if row is None:
        raise NotFound(lazy("There is no such record that you can see."))
    return row[0], row[1]


def list_notes(db: Session, record_id: str) -> list[RecordNote]:
    statement = select(RecordNote).where(RecordNote.record_id == record_id).order_by(RecordNote.id)
    return list(db.scalars(statement).unique())


def dataset_name(db: Session, actor: Actor, result: EvalResult) -> str | None:
    """The present name of the data set of a result; None where it is not here, or not for the actor."""
    statement = select(Repo).where(Repo.id == result.dataset_id, visible_to(actor))
    found = db.scalars(statement).unique().one_or_none() if result.dataset_id else None
    return found.repo_name if found is not None else None


def list_confirming(db: Session, actor: Actor, result: EvalResult) -> list[EvalResult]:
    """Other records of the same evaluation, one for each, newest first."""
    if not result.same_key:
        return []
    statement = (
        select(EvalResult)
        .join(Repo, Repo.id == EvalResult.repo_id)
        .where(
            EvalResult.same_key == result.same_key,
            EvalResult.record_id != result.record_id,
            visible_to(actor),
        )
        .order_by(EvalResult.created_at.desc())
        .limit(50)
    )
    found = {row.record_id: row for row in db.scalars(statement)}
    return list(found.values())
