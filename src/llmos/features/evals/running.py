"""Evaluations as jobs: what is asked for, what it will cost, and who may ask."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.evals.models import Benchmark
from llmos.features.jobs.flavors import DEFAULT_FLAVOR
from llmos.features.jobs.models import Job
from llmos.features.jobs.requests import parse_request
from llmos.features.jobs.service import submit
from llmos.features.repos.models import Repo
from llmos.features.repos.places import open_git
from llmos.features.repos.policy import can_write
from llmos.infra.git.revisions import resolve
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime

MAX_AT_ONCE = 20
TIMEOUT_S = 6 * 3600
# Floating-point operations a second that one CPU core gives a model, and what a core draws.
_CORE_FLOPS = 1.0e10
_CORE_WATTS = 12.0
_CORES = 2
# What a question costs where nobody has asked it yet.
_TOKENS_EACH, _SAMPLES = 120, 500


@dataclass(frozen=True)
class Estimate:
    """What an evaluation will take on a small machine: an order of magnitude. None: size not known."""

    tokens: int
    is_measured: bool
    seconds: float | None
    energy_wh: float | None


def estimate(model: Repo, benchmark: Benchmark) -> Estimate:
    """By tokens that others needed for the benchmark, and 2 operations a parameter and token."""
    tokens = benchmark.tokens or _TOKENS_EACH * _SAMPLES
    if not model.total_parameters:
        return Estimate(tokens, bool(benchmark.tokens), None, None)
    seconds = 2.0 * model.total_parameters * tokens / (_CORE_FLOPS * _CORES)
    return Estimate(tokens, bool(benchmark.tokens), seconds, seconds * _CORE_WATTS * _CORES / 3600)


def evaluation_recipe(
    model: str,
    revision: str,
    benchmark: str,
    benchmark_revision: str,
    task_id: str,
    *,
    as_pull: bool,
    limit: int | None = None,
) -> dict[str, Any]:
    """The recipe of one task on one model, both at fixed commits (`llmos.wire.evaluation_recipe`)."""
    plan: dict[str, Any] = {
        "model": {"repo": model, "revision": revision},
        "benchmark": {"repo": benchmark, "revision": benchmark_revision, "task_id": task_id},
    }
    if limit is not None:
        plan["limit"] = limit
    return {
        "version": 1,
        "evaluation": plan,
        "push": {"repo": model, "pull_request": as_pull},
    }


def job_body(recipe: dict[str, Any], *, is_public: bool) -> dict[str, Any]:
    """The specification of a job that runs the recipe."""
    plan = recipe["evaluation"]
    name = f"{plan['model']['repo']} · {plan['benchmark']['repo']} · {plan['benchmark']['task_id']}"
    return {
        "recipe": recipe,
        "labels": {"name": "".join(char for char in name if char.isprintable())[:200]},
        "timeoutSeconds": TIMEOUT_S,
        "public": is_public,
    }


def as_job(actor: Actor) -> Actor:
    """What a job of somebody's may do: no token of a job has the powers of an admin."""
    return dataclasses.replace(actor, is_admin=False)


def start_evaluations(
    db: Session,
    rt: Runtime,
    actor: Actor,
    namespace: Namespace,
    model: Repo,
    benchmarks: Sequence[Benchmark],
    *,
    revision: str = "main",
    limit: int | None = None,
    flavor: str = DEFAULT_FLAVOR,
) -> list[Job]:
    """One job for each benchmark; what it finds goes to the model, from others as a pull request.

    Raises BadRequest for none or too many, and what `jobs.service.submit` raises.
    """
    if not benchmarks or len(benchmarks) > MAX_AT_ONCE:
        raise BadRequest(
            lazy("Choose one benchmark at least, and at most %(count)s.", count=MAX_AT_ONCE),
            data={"field": "benchmark"},
        )
    commit = resolve(open_git(rt, model), revision)
    as_pull = not can_write(as_job(actor), model)
    jobs = []
    for item in benchmarks:
        recipe = evaluation_recipe(
            model.repo_name,
            commit,
            item.repo.repo_name,
            resolve(open_git(rt, item.repo), "main"),
            item.task_id,
            as_pull=as_pull,
            limit=limit,
        )
        body = job_body(recipe, is_public=not model.is_private) | {"flavor": flavor}
        jobs.append(submit(db, rt, actor, namespace, parse_request(body)))
    return jobs
