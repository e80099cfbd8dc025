"""Goes through the steps of runs, in the worker: each look at a run does at most one thing.

A step is begun and noted in one transaction, so that a crash at any point repeats a look, not a job.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import Conflict, Forbidden, LlmosError
from llmos.core.names import split_repo_name
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.auth.credentials import actor_for_user
from llmos.features.evals.models import Benchmark
from llmos.features.evals.running import start_evaluations
from llmos.features.jobs.models import Job
from llmos.features.jobs.requests import parse_request
from llmos.features.jobs.service import submit
from llmos.features.quickstart import queries
from llmos.features.quickstart.asking import ask_questions
from llmos.features.quickstart.models import DONE, FAILED, RUNNING, STEPS, TRAIN, QuickstartRun
from llmos.features.quickstart.recipes import BASE, benchmarks_of, training_recipe
from llmos.features.quickstart.service import end_run, lock_run
from llmos.features.quickstart.talking import open_discussion
from llmos.features.repos.models import Repo
from llmos.features.repos.policy import access_repo
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime

log = logging.getLogger(__name__)

_AT_ONCE = 4
# Beyond the minutes of training: import, texts, tokenizer, the last look, the commit.
_ROOM_S = 1200


class Guide:
    """Looks after all open runs, some at once: while one waits for an engine the others go on.

    Its threads end with the process; whatever they did not note is done again.
    """

    def __init__(self) -> None:
        self._busy: set[int] = set()

    @property
    def is_busy(self) -> bool:
        return bool(self._busy)

    def __call__(self, rt: Runtime) -> None:
        with rt.database.reading() as db:
            found = queries.list_open_ids(db)
        for run_id in found:
            if run_id in self._busy or len(self._busy) >= _AT_ONCE:
                continue
            self._busy.add(run_id)
            threading.Thread(target=self._look, args=(rt, run_id), daemon=True).start()

    def _look(self, rt: Runtime, run_id: int) -> None:
        # What goes wrong here ends this thread alone, with its traceback in the log.
        try:
            advance(rt, run_id)
        finally:
            self._busy.discard(run_id)


def advance(rt: Runtime, run_id: int) -> None:
    """Do what is due for one run; a refusal ends it, with its reason."""
    with rt.database.reading() as db:
        run = db.get(QuickstartRun, run_id)
        if run is None or run.state != RUNNING:
            return
        actor = _actor(db, run)
        db.expunge(run)
    try:
        actor.check_not_suspended()
        _DO[run.step](rt, actor, run)
    except LlmosError as error:
        log.info("run %s of the quick start ends at %s: %s", run_id, run.step, error.message)
        with rt.database.writing() as db:
            locked = lock_run(db, run_id)
            if locked.state == RUNNING:
                end_run(locked, FAILED, error.message)


def _actor(db: Session, run: QuickstartRun) -> Actor:
    if run.user.disabled_at is not None:
        return Actor(user_id=run.user_id, name=run.user.name, is_suspended=True)
    return actor_for_user(db, run.user)


class _Meanwhile(Exception):
    """Somebody has stopped the run, or gone on with it."""


def _lock(db: Session, run: QuickstartRun) -> QuickstartRun:
    locked = lock_run(db, run.id)
    if locked.state != RUNNING or locked.step != run.step:
        raise _Meanwhile
    return locked


def _note(
    rt: Runtime,
    run: QuickstartRun,
    *,
    is_done: bool = True,
    also: Callable[..., Any] | None = None,
    **found: Any,
) -> None:
    """Keep what a step came to; with `is_done` go on to the next one."""
    try:
        with rt.database.writing() as db:
            result = also(db) if also is not None else None
            locked = _lock(db, run)
            if result is not None:
                found |= result
            locked.train_job_id = found.pop("train_job_id", locked.train_job_id)
            if is_done:
                _go_on(locked, found)
            else:
                locked.found = locked.found | found
    except _Meanwhile:
        log.info("run %s of the quick start was changed meanwhile", run.id)


def _go_on(run: QuickstartRun, found: dict[str, Any]) -> None:
    steps = STEPS[run.path]
    run.step = steps[steps.index(run.step) + 1]
    began = {**run.found.get("began", {}), run.step: clock.now().isoformat()}
    run.found = run.found | found | {"began": began}
    if run.step == "done":
        end_run(run, DONE)


# The steps


def _train(rt: Runtime, actor: Actor, run: QuickstartRun) -> None:
    if run.train_job_id is None:
        _note(rt, run, is_done=False, also=lambda db: _submit_training(db, rt, actor, run))
        return
    with rt.database.reading() as db:
        job = db.get(Job, run.train_job_id)
        _check_went_well(job)
    if job is not None and job.is_over:
        _note(rt, run)


def _submit_training(db: Session, rt: Runtime, actor: Actor, run: QuickstartRun) -> dict[str, Any]:
    body = {
        "recipe": training_recipe(run.path, run.model_name, run.options),
        "labels": {"name": run.model_name, "quickstart": run.path},
        "timeoutSeconds": int(run.options["max_minutes"] * 60) + _ROOM_S,
        "public": not run.options["is_private"],
    }
    return {"train_job_id": submit(db, rt, actor, _namespace(rt, run), parse_request(body)).id}


def _namespace(rt: Runtime, run: QuickstartRun) -> Namespace:
    with rt.database.reading() as db:
        found = db.get(Namespace, run.namespace_id)
    assert found is not None
    return found


def _check_went_well(job: Job | None) -> None:
    if job is None:
        raise Conflict(lazy("The job is gone."))
    if job.is_over and job.state != "succeeded":
        raise Conflict(job.reason or lazy("The job ended as: %(state)s.", state=job.state))


def _model(rt: Runtime, actor: Actor, name: str) -> Repo:
    with rt.database.reading() as db:
        return access_repo(db, actor, RepoType.MODEL, *split_repo_name(name))


def _evaluate(rt: Runtime, actor: Actor, run: QuickstartRun) -> None:
    known = run.found.get("evaluations")
    if known is None:
        _start_evaluations(rt, actor, run)
        return
    with rt.database.reading() as db:
        jobs = queries.list_jobs(db, known)
    for job in jobs:
        _check_went_well(job)
        base_jobs = queries.list_jobs(db, run.found.get("base_evaluations") or [])
    if all(job.is_over for job in [*jobs, *base_jobs]):
        _note(rt, run)
    elif run.path == TRAIN and "answers" not in run.found and "asked_early" not in run.found:
        _ask_early(rt, run)


def _ask_early(rt: Runtime, run: QuickstartRun) -> None:
    """While a job reads benchmarks the engine can start: importing its libraries keeps one core busy only.

    What goes wrong is left to the step that serves, which asks again.
    """
    try:
        found: dict[str, Any] = {"answers": ask_questions(rt, run, run.model_name)}
    except LlmosError as error:
        log.info("run %s of the quick start could not ask early: %s", run.id, error.message)
        found = {}
    _note(rt, run, is_done=False, asked_early=True, **found)


def _benchmarks(rt: Runtime, run: QuickstartRun) -> list[Benchmark]:
    with rt.database.reading() as db:
        return queries.find_benchmarks(db, benchmarks_of(run.path, run.options))


def _start_evaluations(rt: Runtime, actor: Actor, run: QuickstartRun) -> None:
    model, namespace = _model(rt, actor, run.model_name), _namespace(rt, run)
    benchmarks = _benchmarks(rt, run)
    if not benchmarks:
        _note(rt, run, evaluations=[])
        return

    def begin(db: Session) -> dict[str, Any]:
        jobs = start_evaluations(db, rt, actor, namespace, model, benchmarks)
        return {"evaluations": [job.object_id for job in jobs]}

    _note(rt, run, is_done=False, also=begin)


def _board(rt: Runtime, actor: Actor, run: QuickstartRun) -> None:
    known = run.found.get("evaluations") or []
    model = _model(rt, actor, run.model_name)
    with rt.database.reading() as db:
        jobs = queries.list_jobs(db, known)
        signed = queries.list_signed(db, [job.id for job in jobs])
        base_jobs = queries.list_jobs(db, run.found.get("base_evaluations") or [])
        is_base_open = any(
            one.state == "waiting" for one in queries.list_signed(db, [job.id for job in base_jobs])
        )
        shown = len(queries.list_shown(db, model.id))
    refused = next((one for one in signed if one.state == "refused"), None)
    if refused is not None:
        raise Forbidden(refused.reason)
    if shown >= len(jobs) and not is_base_open:
        _note(rt, run)


def _serve(rt: Runtime, _actor: Actor, run: QuickstartRun) -> None:
    known = run.found.get("answers")
    _note(rt, run, answers=known or ask_questions(rt, run, run.model_name))


def _before(rt: Runtime, actor: Actor, run: QuickstartRun) -> None:
    if "base_evaluations" not in run.found:
        _evaluate_base(rt, actor, run)
        return
    _note(rt, run, before=ask_questions(rt, run, BASE))


def _evaluate_base(rt: Runtime, actor: Actor, run: QuickstartRun) -> None:
    """What the base scores, unless that stands on the board already: a job, while the run goes on."""
    base, namespace, benchmarks = _model(rt, actor, BASE), _namespace(rt, run), _benchmarks(rt, run)
    with rt.database.reading() as db:
        known = queries.list_base_scores(db, BASE, benchmarks_of(run.path, run.options))
    if known or not benchmarks:
        _note(rt, run, is_done=False, base_evaluations=[])
        return

    def begin(db: Session) -> dict[str, Any]:
        jobs = start_evaluations(db, rt, actor, namespace, base, benchmarks)
        return {"base_evaluations": [job.object_id for job in jobs]}

    _note(rt, run, is_done=False, also=begin)


def _discuss(rt: Runtime, actor: Actor, run: QuickstartRun) -> None:
    model = _model(rt, actor, run.model_name)
    with rt.database.reading() as db:
        shown = queries.list_shown(db, model.id)
    _note(rt, run, also=lambda db: {"thread_num": open_discussion(db, actor, model, run, shown)})


_DO: dict[str, Callable[[Runtime, Actor, QuickstartRun], None]] = {
    "before": _before,
    "train": _train,
    "evaluate": _evaluate,
    "board": _board,
    "serve": _serve,
    "discuss": _discuss,
}
