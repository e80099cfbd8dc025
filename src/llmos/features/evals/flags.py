"""Doubts about a score, in public, and what moderators decide."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest, Forbidden
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.discussions.models import Thread
from llmos.features.discussions.threads import open_thread
from llmos.features.evals.models import EvalResult, RecordNote
from llmos.features.evals.standing import settle_model
from llmos.features.repos.models import Repo
from llmos.infra.i18n import lazy

FLAG, HIDDEN = "flag", "hidden"
MAX_REASON_CHARS = 5000


def flag_result(db: Session, actor: Actor, result: EvalResult, repo: Repo, reason: str, href: str) -> Thread:
    """Open a discussion at the model about a score; its author answers there like anybody else.

    Raises BadRequest without a reason, and what `open_thread` raises.
    """
    reason = reason.strip()
    if not reason or len(reason) > MAX_REASON_CHARS:
        raise BadRequest(lazy("Say what you doubt, in at most %(limit)s characters.", limit=MAX_REASON_CHARS))
    title = f"{result.dataset_key} · {result.task_id}: {result.value:.4g}"
    thread = open_thread(db, actor, repo, title[:200], f"{reason}\n\n{href}")
    db.add(
        RecordNote(
            record_id=result.record_id,
            kind=FLAG,
            thread_num=thread.num,
            reason=reason[:500],
            actor_id=actor.user_id,
        )
    )
    db.flush()
    return thread


def hide_result(db: Session, actor: Actor, result: EvalResult, repo: Repo, reason: str) -> None:
    """Take a score off the boards; its page stays and says why. Forbidden for all but admins: whoever
    wrote the model cannot."""
    _check_admin(actor)
    if not reason.strip():
        raise BadRequest(lazy("Say why: the reason is shown on the page of the record."))
    row = RecordNote(
        record_id=result.record_id, kind=HIDDEN, reason=reason.strip()[:2000], actor_id=actor.user_id
    )
    db.add(row)
    db.flush()
    audit.record(db, actor, "evaluation.hide", result.record_id, reason=row.reason)
    _settle(db, result.record_id, repo)


def show_result(db: Session, actor: Actor, result: EvalResult, repo: Repo) -> None:
    """Put a hidden score back. Forbidden for all but admins."""
    _check_admin(actor)
    wanted = (RecordNote.record_id == result.record_id, RecordNote.kind == HIDDEN)
    db.execute(delete(RecordNote).where(*wanted))
    audit.record(db, actor, "evaluation.show", result.record_id)
    _settle(db, result.record_id, repo)


def _settle(db: Session, record_id: str, repo: Repo) -> None:
    ids = select(EvalResult.repo_id).where(EvalResult.record_id == record_id).distinct()
    for found in db.scalars(select(Repo).where(Repo.id.in_(ids))).unique():
        settle_model(db, found)


def _check_admin(actor: Actor) -> None:
    if not actor.is_admin:
        raise Forbidden(lazy("Only moderators of this instance hide scores."))
