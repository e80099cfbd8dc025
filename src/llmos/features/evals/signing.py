"""After a job has evaluated: what it made is checked, signed, logged and committed to the model.

Signed is only what a runner did that this instance's admins trust, with exactly the model and the data
the job was given.
"""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.errors import LlmosError
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import User
from llmos.features.discussions.models import PullRequest, Thread
from llmos.features.evals.instances import own_key
from llmos.features.evals.log import add_to_log, prove
from llmos.features.evals.models import Benchmark, EvalJob, LogEntry
from llmos.features.evals.naming import access_named
from llmos.features.evals.said import keep
from llmos.features.evals.signing_checks import Made, NotSigned, check_bundle, check_inputs, copy_folder
from llmos.features.jobs.models import Job, JobAttempt, Runner
from llmos.features.repos.commit_targets import CommitTarget
from llmos.features.repos.commits import CommitDraft
from llmos.features.repos.models import Repo
from llmos.features.repos.places import git_path
from llmos.features.repos.revision_files import RevisionFiles
from llmos.infra.git.commits import get_commit
from llmos.infra.git.repository import default_branch, open_repo
from llmos.infra.git.revisions import BRANCH_PREFIX, PULL_PREFIX, read_ref
from llmos.infra.i18n import lazy
from llmos.infra.queue.outbox import on
from llmos.infra.runtime import Runtime
from llmos.records.bundle import (
    ENVELOPE_FILE,
    LOG_FILE,
    STATEMENT_FILE,
    parse_statement,
    sign_bundle,
)
from llmos.records.canonical import canonical
from llmos.wire.evaluation import VERIFY_TOKEN, MetricValue, Statement
from llmos.wire.evaluation_recipe import is_evaluation

log = logging.getLogger(__name__)

BUNDLES = ".eval_results/bundles/"
_A_TURN = 5


@on("JobFinished")
def note_finished(db: Session, payload: dict[str, Any]) -> None:
    """Line up a job that has evaluated something."""
    job = db.get(Job, payload["job_id"])
    if job is None or job.state != "succeeded" or not is_evaluation(job.spec.get("recipe") or {}):
        return
    if db.get(EvalJob, job.id) is None:
        db.add(EvalJob(job_id=job.id))


def sign_finished(rt: Runtime) -> int:
    """Sign what is lined up; how many jobs were looked at. In the worker; may be killed at any point."""
    with rt.database.reading() as db:
        waiting = list(db.scalars(select(EvalJob.job_id).where(EvalJob.state == "waiting").limit(_A_TURN)))
    for job_id in waiting:
        state, reason, record_id = "signed", "", ""
        try:
            record_id = _sign_job(rt, job_id)
        except LlmosError as error:
            state, reason = "refused", keep(error.message)
            log.warning("what job %s found is not signed: %s", job_id, error.message)
        with rt.database.writing() as db:
            row = db.get(EvalJob, job_id)
            if row is not None:
                row.state, row.reason, row.record_id = state, reason[:2000], record_id
    return len(waiting)


def _sign_job(rt: Runtime, job_id: int) -> str:
    made = _find(rt, job_id)
    record_id = made.statement.predicate.record_id
    check_inputs(rt, made)
    with tempfile.TemporaryDirectory(dir=rt.settings.tmp_root) as folder:
        bundle = Path(folder) / "bundle"
        copy_folder(made.files, made.folder, bundle)
        sign_bundle(bundle, own_key(rt))
        check_bundle(rt, made, bundle, Path(folder) / "data")
        envelope = (bundle / ENVELOPE_FILE).read_text(encoding="utf-8")
    with rt.database.writing() as db:
        entry = add_to_log(
            db,
            record_id,
            envelope,
            own_key(rt).public,
            repo_id=made.repo.id,
            job_object_id=made.job.object_id,
            party=made.party,
            bundle_path=made.folder,
            commit_oid=made.commit,
        )
    with rt.database.reading() as db:
        proof = prove(db, rt, entry)
    files = {
        f"{made.folder}/{ENVELOPE_FILE}": entry.envelope.encode(),
        f"{made.folder}/{LOG_FILE}": canonical(proof.model_dump(mode="json")) + b"\n",
        **_result_file(rt, made, entry),
    }
    _commit(rt, made, files)
    return record_id


# What the job made


def _find(rt: Runtime, job_id: int) -> Made:
    with rt.database.reading() as db:
        job = db.get(Job, job_id)
        assert job is not None
        attempt = _attempt(db, job)
        result = next((item for item in job.results if item["type"] == "model"), None)
        if result is None:
            raise NotSigned(lazy("The job has committed nothing to a model."))
        repo = access_named(db, RepoType.MODEL, result["repo"])
        ref = _ref_of(db, rt, repo, result["revision"])
    files = RevisionFiles(rt, git_path(rt, repo), result["revision"])
    folder, statement = _new_bundle(rt, files, job)
    return Made(job, repo, files.commit, ref, folder, files, statement, f"user:{attempt.runner_owner_id}")


def _attempt(db: Session, job: Job) -> JobAttempt:
    """The attempt that made it, on a machine that admins vouch for: anybody can lend their own a result."""
    statement = (
        select(JobAttempt, Runner)
        .outerjoin(Runner, Runner.id == JobAttempt.runner_id)
        .where(JobAttempt.job_id == job.id, JobAttempt.outcome == "succeeded")
        .order_by(JobAttempt.number.desc())
    )
    found = db.execute(statement).unique().first()
    if found is not None:
        attempt, runner = found
        is_vouched = runner is not None and (runner.scope == "instance" or runner.owner.is_admin)
        if (attempt.is_trusted and is_vouched) or job.quorum > 1:
            return attempt
    raise NotSigned(lazy("It ran on a machine that no admin vouches for, and no other one has agreed."))


def _ref_of(db: Session, rt: Runtime, repo: Repo, commit: str) -> str:
    """Where the job's commit went: a pull request, else the default branch."""
    statement = (
        select(Thread.num)
        .join(PullRequest, PullRequest.thread_id == Thread.id)
        .where(Thread.repo_id == repo.id, PullRequest.head_oid == commit)
    )
    num = db.scalar(statement)
    if num is not None:
        return f"{PULL_PREFIX}{num}"
    return BRANCH_PREFIX + default_branch(open_repo(git_path(rt, repo)))


def _new_bundle(rt: Runtime, files: RevisionFiles, job: Job) -> tuple[str, Statement]:
    """The bundle that this commit has brought, and that says it is of this job."""
    parents = get_commit(files.git_repo, files.commit).parents
    before = files.at(rt, parents[0]).entries if parents else {}
    ending = f"/{STATEMENT_FILE}"
    for path in files.entries:
        if not path.startswith(BUNDLES) or not path.endswith(ending) or path in before:
            continue
        statement = parse_statement(files.read_small(path) or b"")
        folder = path.removesuffix(ending)
        is_of_job = statement.predicate.run.job_id in (None, job.object_id)
        if is_of_job and folder == f"{BUNDLES}{statement.predicate.record_id}":
            return folder, statement
    raise NotSigned(lazy("The job's commit holds no new record of an evaluation."))


# What is added


def _result_file(rt: Runtime, made: Made, entry: LogEntry) -> dict[str, bytes]:
    """The Hub's result file of the record; it takes the place of an earlier one of the same task."""
    predicate = made.statement.predicate
    facts = predicate.benchmark
    with rt.database.reading() as db:
        wanted = db.scalar(
            select(Benchmark.metric)
            .join(Repo, Repo.id == Benchmark.repo_id)
            .where(Benchmark.task_id == facts.task_id, Benchmark.repo_id == _dataset_id(db, facts.repo or ""))
        )
    metric = _main(predicate.metrics, wanted)
    base = (rt.settings.public_url or "").rstrip("/")
    line: dict[str, Any] = {
        "dataset": {"id": facts.repo, "task_id": facts.task_id, "revision": facts.revision},
        "value": metric.value,
        "verifyToken": VERIFY_TOKEN.format(keyid=entry.keyid, record_id=entry.record_id),
        "date": predicate.created_at.isoformat(),
        "notes": f"{metric.name}, n = {metric.n}",
    }
    if base.startswith(("http://", "https://")):
        name = rt.settings.site_name
        line["source"] = {"url": f"{base}/benchmarks/records/{entry.record_id}", "name": name}
    name = f"{facts.repo}--{facts.task_id}".replace("/", "--")
    safe = "".join(char if char.isalnum() or char in "-_." else "_" for char in name)
    # JSON is YAML, and nobody has to think about quotes.
    return {f".eval_results/{safe}.yaml": json.dumps([line], indent=1, ensure_ascii=False).encode() + b"\n"}


def _dataset_id(db: Session, name: str) -> int:
    return access_named(db, RepoType.DATASET, name).id


def _main(metrics: list[MetricValue], wanted: str | None) -> MetricValue:
    if not metrics:
        raise NotSigned(lazy("The record has no metric."))
    return next((item for item in metrics if item.name == wanted), metrics[0])


def _commit(rt: Runtime, made: Made, files: dict[str, bytes]) -> None:
    with rt.database.reading() as db:
        creator = db.get(User, made.job.creator_id)
        repo = made.repo
        name = creator.name if creator is not None else rt.settings.site_name
        head = read_ref(open_repo(git_path(rt, repo)), made.ref)
    target = CommitTarget(repo.id, repo.repo_type, repo.repo_name, repo.object_id, made.ref, head, False)
    actor = Actor(user_id=made.job.creator_id, name=name)
    with CommitDraft(rt, actor, target) as draft:
        draft.set_header(f"Sign the evaluation of job {made.job.object_id}", "", None)
        for path, data in files.items():
            draft.add_file(path, data)
        draft.finish()
