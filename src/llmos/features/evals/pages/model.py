"""What a model has shown: results, how they changed, the button to evaluate, answers side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import Request
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core.errors import LlmosError, NotFound
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
)
from llmos.features.evals.boards import list_benchmarks, list_model_results
from llmos.features.evals.models import EvalJob, EvalResult
from llmos.features.evals.pages.explorer import samples_context
from llmos.features.evals.pages.lists import benchmark_row
from llmos.features.evals.pages.views import evidence_of, interval
from llmos.features.evals.running import estimate, start_evaluations
from llmos.features.evals.said import said
from llmos.features.jobs.models import Job
from llmos.features.jobs.pages.views import duration, job_href
from llmos.features.jobs.policy import access_owner, can_run_jobs, can_see
from llmos.features.repos.models import Repo
from llmos.features.repos.pages.frame import RepoTab, repo_frame
from llmos.features.repos.pages.repo import gate_of
from llmos.features.repos.pages.routes import RepoRoutes, page_repo, repo_href
from llmos.infra.i18n import Locale, lazy
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.ui.filters import with_query
from llmos.ui.views import Option, Series

routes = RepoRoutes()
MAX_CHARTS = 12
MAX_CHOICES = 60


def tab_of(repo: Repo) -> RepoTab | None:
    if repo.repo_type is not RepoType.MODEL:
        return None
    return RepoTab("evaluation", lazy("Evaluation"), "/evaluation", "trophy")


def _page_model(request: Request, db: Session, actor: Actor) -> Repo:
    repo = page_repo(request, db, actor)
    if repo.repo_type is not RepoType.MODEL:
        raise NotFound(lazy("Only models are evaluated."))
    return repo


@routes.get("/evaluation")
def evaluation_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    repo = _page_model(request, db, actor)
    locale = request_locale(request, actor)
    found = list_model_results(db, actor, repo.id)
    owners = [owner for owner in _owners(db, actor) if can_run_jobs(actor, owner)]
    context: dict[str, Any] = {
        "frame": repo_frame(db, rt, actor, repo, locale, "evaluation"),
        "groups": _groups(repo, found),
        "charts": _charts(found),
        "jobs": _jobs(db, actor, repo),
        "owners": [Option(owner.name, owner.name) for owner in owners],
        "choices": _choices(db, actor, repo, locale) if owners else [],
        "action": f"{repo_href(repo)}/evaluation",
    }
    return render_page(request, actor, "evals/model.html", context)


def _owners(db: Session, actor: Actor) -> list[Namespace]:
    from llmos.features.repos.pages.new import list_owners

    return list(list_owners(db, actor)) if actor.user_id is not None else []


def _groups(repo: Repo, found: Sequence[tuple[EvalResult, str | None]]) -> list[dict[str, Any]]:
    """Results by benchmark: the one on the board first, then the others, newest first."""
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for row, name in found:
        key = (row.dataset_key, row.task_id)
        group = groups.setdefault(
            key,
            {
                "name": name or row.dataset_key,
                "task": row.task_id,
                "board_href": with_query(f"/datasets/{name}/leaderboard", {"task": row.task_id})
                if name
                else None,
                "rows": [],
            },
        )
        group["rows"].append(_row(repo, row))
    for group in groups.values():
        group["rows"].sort(key=lambda item: not item["row"].is_shown)
    return list(groups.values())


def _row(repo: Repo, row: EvalResult) -> dict[str, Any]:
    href = f"/benchmarks/records/{row.record_id}"
    samples = with_query(f"{repo_href(repo)}/evaluation/samples", {"record": row.record_id})
    return {
        "row": row,
        "interval": interval(row.low, row.high),
        "evidence": evidence_of(row.evidence),
        "href": href,
        "samples_href": samples if row.signer_keyid else None,
        "pull_href": f"{repo_href(repo)}/discussions/{row.pull_num}" if row.pull_num else None,
    }


def _charts(found: Sequence[tuple[EvalResult, str | None]]) -> list[dict[str, Any]]:
    """How values changed, for benchmarks with signed results of several revisions."""
    groups: dict[tuple[str, str, str], list[EvalResult]] = {}
    for row, _name in found:
        if row.signer_keyid:
            groups.setdefault((row.dataset_key, row.task_id, row.metric), []).append(row)
    charts = []
    for (dataset, task, metric), rows in groups.items():
        if len({row.revision for row in rows}) < 2:
            continue
        rows.sort(key=lambda row: row.created_at)
        labels = [f"{row.created_at:%Y-%m-%d} {(row.revision or '')[:7]}" for row in rows]
        values: list[float | None] = [row.value for row in rows]
        charts.append({"title": f"{dataset} · {task}", "labels": labels, "series": [Series(metric, values)]})
    return charts[:MAX_CHARTS]


def _jobs(db: Session, actor: Actor, repo: Repo) -> list[dict[str, Any]]:
    """Evaluations of this model that are under way, or were not signed; only those the actor may see."""
    statement = (
        select(Job, EvalJob)
        .outerjoin(EvalJob, EvalJob.job_id == Job.id)
        .where(
            Job.kind == "recipe",
            Job.finished_at.is_(None) | EvalJob.state.in_(("waiting", "refused")),
        )
        .order_by(Job.id.desc())
        .limit(200)
    )
    found = []
    for job, outcome in db.execute(statement).unique():
        plan = (job.spec.get("recipe") or {}).get("evaluation") or {}
        name = (plan.get("model") or {}).get("repo")
        if not isinstance(name, str) or name.lower() != repo.repo_name.lower() or not can_see(actor, job):
            continue
        found.append(
            {
                "title": job.title,
                "href": job_href(job.namespace.name, job.object_id),
                "state": job.state if outcome is None else outcome.state,
                "reason": said(outcome.reason) if outcome is not None else "",
            }
        )
    return found[:10]


def _choices(db: Session, actor: Actor, repo: Repo, locale: Locale) -> list[dict[str, Any]]:
    """Benchmarks that jobs can run here, with what each will roughly take."""
    found = []
    runnable = ("llmos", "inspect-ai", "lm-eval")
    for item in list_benchmarks(db, actor, limit=MAX_CHOICES):
        if item.framework not in runnable:
            continue
        cost = estimate(repo, item)
        found.append(
            benchmark_row(item, locale)
            | {
                "tokens": cost.tokens,
                "time": duration(cost.seconds) if cost.seconds is not None else "",
                "energy_wh": cost.energy_wh,
            }
        )
    return found


@routes.post("/evaluation")
def post_evaluation(
    request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, form: PageForm
) -> Response:
    """Queue a job for each chosen `benchmark` (`namespace/name:task`)."""
    if actor.user_id is None:
        return redirect_to_login(request)
    with rt.database.reading() as look:
        repo = _page_model(request, look, actor)
        owner = access_owner(look, actor, form.text("owner") or "me")
        known = {
            f"{one.repo.repo_name}:{one.task_id}": one for one in list_benchmarks(look, actor, limit=1000)
        }
    chosen = [known[key] for key in form.texts("benchmark") if key in known]
    limit = form.text("limit")
    here = f"{repo_href(repo)}/evaluation"
    try:
        jobs = start_evaluations(
            db,
            rt,
            actor,
            owner,
            repo,
            chosen,
            limit=int(limit) if limit.isdecimal() and 0 < int(limit) < 10**9 else None,
        )
    except LlmosError as error:
        db.rollback()
        return redirect_page(request, here, error.message, "danger")
    if len(jobs) == 1:
        return redirect_page(
            request, job_href(owner.name, jobs[0].object_id), lazy("The evaluation is queued.")
        )
    return redirect_page(request, here, lazy("%(count)s evaluations are queued.", count=len(jobs)))


@routes.get("/evaluation/samples")
def samples_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    """The answers of `record`, those of `with` beside them; `show` is all, wrong or different."""
    repo = _page_model(request, db, actor)
    locale = request_locale(request, actor)
    frame = repo_frame(db, rt, actor, repo, locale, "evaluation")
    gate = gate_of(db, actor, repo)
    if gate is not None:
        return render_page(request, actor, "evals/gated.html", {"frame": frame, "gate": gate})
    context = samples_context(rt, db, actor, repo, request.query_params)
    return render_page(request, actor, "evals/samples.html", {"frame": frame, **context})
