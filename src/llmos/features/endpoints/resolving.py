"""From the name in a request to the endpoint that answers it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import event, select
from sqlalchemy.orm import Session

from llmos.core.errors import LlmosError, NotFound, RepoNotFound, RevisionNotFound
from llmos.core.names import name_key, split_repo_name
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.endpoints.errors import ModelNotFound, NotServable, ServingOff
from llmos.features.endpoints.models import Endpoint, Replica
from llmos.features.endpoints.policy import can_call, can_use_inference
from llmos.features.endpoints.servable import describe_servable
from llmos.features.repos.models import Repo
from llmos.features.repos.places import open_git
from llmos.features.repos.policy import RepoMoved, access_repo, check_content
from llmos.infra.git.revisions import resolve
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime

# How long an answer of `find_route` is believed: so long may a right that was taken still work.
REMEMBER_S = 1.0
_MAX_REMEMBERED = 5000
# The tasks an engine answers beside its own.
_ALSO = {"text-generation": ("feature-extraction", "summarization", "translation", "question-answering"),
         "feature-extraction": ("sentence-similarity",),
         "fill-mask": ("feature-extraction", "sentence-similarity"),
         "text2text-generation": ("summarization", "translation", "text-generation"),
         "summarization": ("text2text-generation",), "translation": ("text2text-generation",),
         "text-classification": ("zero-shot-classification",),
         "zero-shot-classification": ("text-classification",)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Route:
    """Where a call goes. `endpoint_id` 0: nothing serves the model yet, and the actor may start it."""

    endpoint_id: int
    repo_id: int | None
    repo_name: str
    oid: str
    task: str
    rate_per_minute: int = 0
    tokens_per_day: int = 0
    is_upstream: bool = False
    until_s: float = 0.0


class _Memory:
    """`find_route` writes into the dict it began with: what is forgotten meanwhile is not remembered."""

    routes: ClassVar[dict[tuple[Any, ...], Route]] = {}


def remembered_route(rt: Runtime, actor: Actor, model: str, task: str | None) -> Route | None:
    """What `find_route` said a moment ago."""
    route = _Memory.routes.get(_key(rt, actor, model, task))
    return route if route is not None and time.monotonic() < route.until_s else None


def forget_routes(db: Session) -> None:
    """Something about endpoints changes in this process with the transaction of `db`."""
    _forget(db)
    event.listen(db, "after_commit", _forget, once=True)


def _forget(_: Session) -> None:
    _Memory.routes = {}


def _key(rt: Runtime, actor: Actor, model: str, task: str | None) -> tuple[Any, ...]:
    return (id(rt), actor.user_id, actor.token_id, actor.session_id, actor.is_admin, model, task)


def find_route(db: Session, rt: Runtime, actor: Actor, model: str, task: str | None) -> Route:
    """Raises ModelNotFound, NotServable, ServingOff, GatedRepo."""
    routes = _Memory.routes
    route = _find(db, rt, actor, model, task)
    if len(routes) > _MAX_REMEMBERED:
        routes.clear()
    routes[_key(rt, actor, model, task)] = route
    return route


def _find(db: Session, rt: Runtime, actor: Actor, model: str, task: str | None) -> Route:
    if "/" not in model:
        found = db.scalars(select(Endpoint).where(Endpoint.name_key == name_key(model))).unique().first()
        if found is None or not can_call(db, actor, found):
            raise _unknown(model)
        check_active(found)
        return _route(found)
    name, at, revision = model.partition("@")
    repo = _access_model(db, actor, name)
    if not actor.is_anonymous and not can_use_inference(actor, repo.namespace, repo):
        raise ServingOff(lazy("This token may not call models: give it the right to, or use another."))
    oid = _commit(rt, repo, revision) if at else ""
    endpoint = _best(db, actor, repo, oid, task)
    if endpoint is not None:
        return _route(endpoint)
    return _on_demand(db, rt, actor, repo, oid, task)


def check_active(endpoint: Endpoint) -> None:
    """Raises ServingOff for a paused endpoint."""
    if endpoint.state != "active":
        raise ServingOff(lazy("%(name)s is paused.", name=endpoint.shown_name), code="endpoint_paused")


def _unknown(model: str) -> ModelNotFound:
    return ModelNotFound(
        lazy("There is no model %(model)s that you can see.", model=repr(model[:200])),
        data={"model": model[:200]},
    )


def _access_model(db: Session, actor: Actor, name: str) -> Repo:
    try:
        repo = access_repo(db, actor, RepoType.MODEL, *split_repo_name(name))
    except RepoMoved as moved:
        repo = access_repo(db, actor, RepoType.MODEL, *split_repo_name(moved.data["repo_name"]))
    except (NotFound, RepoNotFound) as error:
        raise _unknown(name) from error
    except LlmosError as error:
        if error.status in (400, 401, 422):  # no name at all, or a visitor who may sign in
            raise _unknown(name) from error
        raise
    check_content(db, actor, repo)
    return repo


def _commit(rt: Runtime, repo: Repo, revision: str) -> str:
    try:
        return resolve(open_git(rt, repo), revision)
    except RevisionNotFound as error:
        raise ModelNotFound(
            lazy(
                "%(repo)s has no revision %(revision)s.", repo=repo.repo_name, revision=repr(revision[:100])
            ),
            data={"model": f"{repo.repo_name}@{revision[:100]}"},
        ) from error


def can_answer(served_task: str, task: str | None) -> bool:
    """Whether an engine for one task answers calls of another."""
    return task is None or task == served_task or task in _ALSO.get(served_task, ())


def _best(db: Session, actor: Actor, repo: Repo, oid: str, task: str | None) -> Endpoint | None:
    """The endpoint that is ready before one that is not, a named one before one made on demand."""
    ready = select(Replica.endpoint_id).where(Replica.state == "ready")
    statement = (
        select(Endpoint, Endpoint.id.in_(ready))
        .where(Endpoint.repo_id == repo.id, Endpoint.state == "active")
        .order_by(Endpoint.name.is_(None), Endpoint.id)
    )
    found = [
        (endpoint, is_ready)
        for endpoint, is_ready in db.execute(statement).unique()
        if can_answer(endpoint.task, task) and _serves(endpoint, oid) and can_call(db, actor, endpoint)
    ]
    return min(found, key=lambda item: not item[1])[0] if found else None


def _serves(endpoint: Endpoint, oid: str) -> bool:
    """With a revision asked for, the one that serves just that; otherwise one that follows main."""
    if oid:
        return endpoint.oid == oid
    return endpoint.name is not None or not endpoint.is_pinned


def _on_demand(db: Session, rt: Runtime, actor: Actor, repo: Repo, oid: str, task: str | None) -> Route:
    servable = describe_servable(db, rt, repo, oid or None, actor=actor)
    if servable.reason_not is not None:
        raise NotServable(
            lazy("%(repo)s cannot be served: %(reason)s", repo=repo.repo_name, reason=servable.reason_not),
            data={"reason": servable.reason_not},
        )
    if not can_answer(servable.task, task):
        raise NotServable(
            lazy(
                "%(repo)s is a model for %(task)s, not for %(asked)s.",
                repo=repo.repo_name,
                task=servable.task,
                asked=task,
            ),
            data={"task": servable.task},
        )
    if not rt.settings.serve_on_demand:
        raise ServingOff(
            lazy(
                "%(repo)s has no endpoint, and this site starts no models by themselves: deploy it first.",
                repo=repo.repo_name,
            )
        )
    if actor.user_id is None:
        raise ServingOff(
            lazy("%(repo)s has no endpoint: sign in, or send a token, to start it.", repo=repo.repo_name),
            status=401,
        )
    return Route(0, repo.id, repo.repo_name, oid, servable.task, until_s=0.0)


def _route(endpoint: Endpoint) -> Route:
    return Route(
        endpoint.id,
        endpoint.repo_id,
        endpoint.repo.repo_name if endpoint.repo is not None else endpoint.shown_name,
        endpoint.oid,
        endpoint.task,
        endpoint.rate_per_minute,
        endpoint.tokens_per_day,
        endpoint.is_upstream,
        time.monotonic() + REMEMBER_S,
    )
