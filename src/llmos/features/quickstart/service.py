"""Start a run, try its failed step again, stop it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, Conflict, Forbidden
from llmos.core.names import check_repo_name, split_repo_name
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.jobs import service as jobs
from llmos.features.jobs.policy import check_run_jobs
from llmos.features.quickstart.models import DONE, FAILED, FINETUNE, RUNNING, STEPS, QuickstartRun
from llmos.features.quickstart.policy import check_change
from llmos.features.quickstart.queries import get_open_run
from llmos.features.quickstart.recipes import BASE, LANGUAGES
from llmos.features.repos.naming import access_namespace
from llmos.features.repos.policy import get_repo
from llmos.infra.i18n import lazy

FIRST_NAMES = {"train": "first-llm", "finetune": "first-chat"}
MIN_MINUTES, MAX_MINUTES = 0.05, 60.0

# What a step that failed found out; the next try does so again.
_ASKED_ANEW = ("evaluations", "asked_early")


def start_run(
    db: Session,
    actor: Actor,
    *,
    path: str = "train",
    name: str = "",
    languages: str = "both",
    max_minutes: float = 2.0,
    is_private: bool = False,
    locale: str = "en",
) -> QuickstartRun:
    """Note what is wanted; the worker goes through the steps (`advance`).

    `name` is `ns/name`, or a name in the actor's own namespace; left out, the next free one. The discussion
    is opened in `locale`.
    Raises BadRequest that names the field, Conflict while another run of the actor is under way or the
    name is taken, Forbidden without a session or a full write token, or the right to run jobs there.
    """
    user_id = actor.require_user()
    if actor.token_role not in (None, "write"):
        raise Forbidden(lazy("This takes a session in a browser, or an access token of role write."))
    if (earlier := get_open_run(db, user_id)) is not None:
        raise _under_way(earlier.model_name, earlier.object_id)
    options = _options(path, languages, max_minutes, is_private) | {"locale": locale}
    if path == FINETUNE and get_repo(db, RepoType.MODEL, *split_repo_name(BASE)) is None:
        raise BadRequest(
            lazy("%(name)s is not here yet: an admin brings it with `llmos demo smollm2`.", name=BASE),
            data={"field": "path"},
        )
    namespace, model_name = _model_name(db, actor, path, name)
    check_run_jobs(actor, namespace)
    run = QuickstartRun(
        user_id=user_id,
        namespace_id=namespace.id,
        path=path,
        step=STEPS[path][0],
        model_name=model_name,
        options=options,
        found={"began": {STEPS[path][0]: clock.now().isoformat()}},
    )
    db.add(run)
    try:
        db.flush()
    except IntegrityError as error:
        raise _under_way(model_name, "") from error
    db.refresh(run)
    return run


def _under_way(model_name: str, object_id: str) -> Conflict:
    return Conflict(
        lazy("Your run %(name)s is under way: wait for it, or stop it.", name=model_name),
        data={"id": object_id},
    )


def _options(path: str, languages: str, max_minutes: float, is_private: bool) -> dict[str, Any]:
    if path not in STEPS:
        raise BadRequest(lazy("path must be train or finetune."), data={"field": "path"})
    if languages not in LANGUAGES:
        raise BadRequest(lazy("lang must be en, zh or both."), data={"field": "lang"})
    if not MIN_MINUTES <= max_minutes <= MAX_MINUTES:
        raise BadRequest(
            lazy(
                "max_minutes must be a number from %(low)s to %(high)s.",
                low=f"{MIN_MINUTES:g}",
                high=f"{MAX_MINUTES:g}",
            ),
            data={"field": "max_minutes"},
        )
    return {"languages": languages, "max_minutes": max_minutes, "is_private": is_private}


def _model_name(db: Session, actor: Actor, path: str, name: str) -> tuple[Namespace, str]:
    if name:
        owner, _, short = name.rpartition("/")
        check_repo_name(short)
        namespace = access_namespace(db, actor, owner or actor.name, RepoType.MODEL)
        if get_repo(db, RepoType.MODEL, namespace.name, short) is not None:
            raise Conflict(
                lazy("%(name)s exists already: choose another name.", name=f"{namespace.name}/{short}"),
                data={"field": "name"},
            )
        return namespace, f"{namespace.name}/{short}"
    namespace = access_namespace(db, actor, actor.name, RepoType.MODEL)
    wish, number = FIRST_NAMES[path], 1
    while get_repo(db, RepoType.MODEL, namespace.name, wish) is not None:
        number += 1
        wish = f"{FIRST_NAMES[path]}-{number}"
    return namespace, f"{namespace.name}/{wish}"


def retry_run(db: Session, actor: Actor, run: QuickstartRun) -> QuickstartRun:
    """Go on with the step that failed. Raises Forbidden, Conflict for a run that has not failed or
    while another one is under way."""
    check_change(actor, run)
    run = lock_run(db, run.id)
    if run.state != FAILED:
        raise Conflict(lazy("Only a run that has failed can be tried again."))
    if (other := get_open_run(db, run.user_id)) is not None:
        raise _under_way(other.model_name, other.object_id)
    if run.step == "train":
        run.train_job_id = None
    run.found = {key: value for key, value in run.found.items() if key not in _ASKED_ANEW}
    if run.step == "board":
        run.step = "evaluate"
    run.state, run.error, run.finished_at = RUNNING, "", None
    db.flush()
    return run


def stop_run(db: Session, actor: Actor, run: QuickstartRun) -> None:
    """End a run, and the training under way in it. Raises Forbidden; does nothing to one that is over."""
    check_change(actor, run)
    run = lock_run(db, run.id)
    if run.is_over:
        return
    if run.train_job is not None and not run.train_job.is_over:
        jobs.cancel(db, actor, run.train_job)
    end_run(run, FAILED, lazy("Stopped by %(name)s.", name=actor.name))


def end_run(run: QuickstartRun, state: str, error: object = "") -> None:
    run.state, run.error, run.finished_at = state, str(error), clock.now()
    if state == DONE:
        run.step = "done"


def lock_run(db: Session, run_id: int) -> QuickstartRun:
    """The run as it is now; others who change it wait until this transaction ends."""
    statement = (
        select(QuickstartRun)
        .where(QuickstartRun.id == run_id)
        .with_for_update(of=QuickstartRun)
        .execution_options(populate_existing=True)
    )
    return db.scalars(statement).unique().one()
