"""The same evaluation once more: by other hands it confirms a score."""

from __future__ import annotations

from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.evals.evidence import read_payload, read_statement
from llmos.features.evals.log import get_entry
from llmos.features.evals.models import EvalResult, LogEntry
from llmos.features.evals.running import evaluation_recipe, job_body
from llmos.features.jobs.models import Job
from llmos.features.jobs.policy import can_run_jobs
from llmos.features.jobs.requests import parse_request
from llmos.features.jobs.service import submit
from llmos.features.repos.models import Repo
from llmos.features.repos.policy import can_write, get_repo
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime


def can_run_again(db: Session, actor: Actor, entry: LogEntry | None) -> bool:
    """Whether the record names what was run, here, and the actor may run jobs."""
    own = db.get(Namespace, actor.user_id) if actor.user_id is not None else None
    if entry is None or own is None or not can_run_jobs(actor, own):
        return False
    predicate = read_statement(read_payload(entry.envelope)).predicate
    return bool(predicate.model.revision and predicate.benchmark.repo and predicate.benchmark.revision)


def run_again(db: Session, rt: Runtime, actor: Actor, result: EvalResult, repo: Repo) -> Job:
    """Queue the evaluation of a record with model, data and settings as they were.

    Raises BadRequest for one that names no commits, and what `jobs.service.submit` raises.
    """
    entry = get_entry(db, result.record_id)
    if entry is None or not can_run_again(db, actor, entry):
        raise BadRequest(lazy("This result does not say what was run: it cannot be run again."))
    predicate = read_statement(read_payload(entry.envelope)).predicate
    facts, settings = predicate.benchmark, predicate.settings
    assert facts.repo is not None
    assert facts.revision is not None
    assert predicate.model.revision is not None
    namespace, _, name = facts.repo.partition("/")
    dataset = get_repo(db, RepoType.DATASET, namespace, name)
    recipe = evaluation_recipe(
        repo.repo_name,
        predicate.model.revision,
        dataset.repo_name if dataset is not None else facts.repo,
        facts.revision,
        facts.task_id,
        as_pull=not can_write(actor, repo),
        limit=settings.limit,
    )
    plan = recipe["evaluation"]
    plan |= {
        "seed": settings.seed,
        "fewshot": predicate.fewshot.count,
        "chat_template": settings.chat_template,
    }
    body = job_body(recipe, is_public=not repo.is_private)
    own = db.get(Namespace, actor.require_user())
    assert own is not None
    return submit(db, rt, actor, own, parse_request(body))
