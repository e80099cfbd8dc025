"""One result: what was run, on what, who vouches for it, and how to check it."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core.errors import BadRequest
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import PageForm, redirect_page, redirect_to_login, render_page
from llmos.features.evals import flags
from llmos.features.evals.again import can_run_again, run_again
from llmos.features.evals.evidence import read_payload, read_statement
from llmos.features.evals.log import get_entry, prove
from llmos.features.evals.models import CleanScore, EvalResult, LogEntry
from llmos.features.evals.overlaps import FOLDER
from llmos.features.evals.pages.views import evidence_of, interval, is_signed
from llmos.features.evals.queries import access_result, dataset_name, list_confirming, list_notes
from llmos.features.evals.said import said
from llmos.features.jobs.models import Job
from llmos.features.jobs.queries import access_jobs
from llmos.features.repos.models import Repo
from llmos.features.repos.pages.routes import repo_href
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.urls import base_url

_ENERGY_METHODS = {
    "measured": lazy("measured"),
    "estimated": lazy("estimated from processor time"),
}


def record_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, record_id: str) -> Response:
    result, repo = access_result(db, actor, record_id)
    entry = get_entry(db, record_id) if is_signed(result.evidence) else None
    predicate = _predicate(entry)
    notes = list_notes(db, record_id)
    dataset = dataset_name(db, actor, result)
    context: dict[str, Any] = {
        "result": result,
        "energy_method": _ENERGY_METHODS.get(predicate.cost.energy_method or "") if predicate else "",
        "doubt": said(result.doubt),
        "clean": db.get(CleanScore, record_id),
        "overlaps_href": f"/datasets/{dataset}/tree/main/{FOLDER}" if dataset else None,
        "model": repo.repo_name,
        "model_href": repo_href(repo),
        "dataset": dataset or result.dataset_key,
        "board_href": f"/datasets/{dataset}/leaderboard?task={result.task_id}" if dataset else None,
        "evidence": evidence_of(result.evidence),
        "is_signed": entry is not None,
        "interval": interval(result.low, result.high),
        "predicate": predicate,
        "proof": prove(db, rt, entry) if entry is not None else None,
        "entry": entry,
        "commands": _commands(request, rt, repo, result, entry),
        "files_href": _files_href(repo, result, entry),
        "samples_href": f"{repo_href(repo)}/evaluation/samples?record={record_id}" if entry else None,
        "confirming": list_confirming(db, actor, result),
        "flags": [note for note in notes if note.kind == flags.FLAG],
        "hidden": next((note for note in notes if note.kind == flags.HIDDEN), None),
        "job": _job(db, actor, result),
        "can_run_again": can_run_again(db, actor, entry),
        "is_admin": actor.is_admin,
    }
    return render_page(request, actor, "evals/record.html", context)


def _predicate(entry: LogEntry | None) -> Any:
    return read_statement(read_payload(entry.envelope)).predicate if entry is not None else None


def _job(db: Session, actor: Actor, result: EvalResult) -> Job | None:
    if not result.job_object_id:
        return None
    found = [job for job in _visible_jobs(db, actor, result.job_object_id) if job is not None]
    return found[0] if found else None


def _visible_jobs(db: Session, actor: Actor, object_id: str) -> list[Job]:
    from llmos.core.errors import LlmosError

    try:
        return access_jobs(db, actor, [object_id])
    except LlmosError:
        return []


def _commands(
    request: Request, rt: Runtime, repo: Repo, result: EvalResult, entry: LogEntry | None
) -> list[str]:
    """What to type to check the record far away from this instance."""
    if entry is None or not entry.bundle_path:
        return []
    base = base_url(request, rt.settings)
    revision = result.commit_oid or entry.commit_oid or "main"
    fetch = (
        f"HF_ENDPOINT={base} hf download {repo.repo_name} --revision {revision} "
        f"--include '{entry.bundle_path}/*' --local-dir record"
    )
    verify = f"llmos eval verify record/{entry.bundle_path} --key instance-key.pem"
    return [f"curl -o instance-key.pem {base}/benchmarks/key.pem", fetch, verify]


def _files_href(repo: Repo, result: EvalResult, entry: LogEntry | None) -> str | None:
    if entry is None or not entry.bundle_path or not (result.commit_oid or entry.commit_oid):
        return None
    return f"{repo_href(repo)}/tree/{result.commit_oid or entry.commit_oid}/{entry.bundle_path}"


def post_record(
    request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, form: PageForm, record_id: str
) -> Response:
    """`action`: flag (with a reason), hide, show (admins), again (run it once more)."""
    if actor.user_id is None:
        return redirect_to_login(request)
    result, repo = access_result(db, actor, record_id)
    here, action = f"/benchmarks/records/{record_id}", form.text("action")
    if action == "flag":
        href = base_url(request, rt.settings) + here
        thread = flags.flag_result(db, actor, result, repo, form.text("reason", strip=False), href)
        return redirect_page(
            request, f"{repo_href(repo)}/discussions/{thread.num}", lazy("Your doubt is public.")
        )
    if action == "hide":
        flags.hide_result(db, actor, result, repo, form.text("hide_reason"))
        return redirect_page(request, here, lazy("The score is on no board any more."))
    if action == "show":
        flags.show_result(db, actor, result, repo)
        return redirect_page(request, here, lazy("The score is back on its board."))
    if action == "again":
        job = run_again(db, rt, actor, result, repo)
        return redirect_page(
            request, f"/jobs/{job.namespace.name}/{job.object_id}", lazy("The evaluation is queued.")
        )
    raise BadRequest(lazy("This form names no action: open the page again."))
