"""How far an endpoint is on its way to an answer, for a call that waits for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import Unavailable
from llmos.features.accounts.actor import Actor
from llmos.features.endpoints.errors import ModelNotFound
from llmos.features.endpoints.models import Endpoint, Replica
from llmos.features.endpoints.replicas import (
    EngineFailed,
    add_on_demand,
    ensure_replica,
    follow_branch,
    is_lost,
    list_live,
    lock_endpoint,
    settle,
)
from llmos.features.endpoints.resolving import Route, check_active, forget_routes
from llmos.features.jobs.waking import wake_runners
from llmos.features.repos.models import Repo
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import run_read, run_write

_STAGES = {"queued": "scheduled", "preparing": "fetching", "running": "starting"}


@dataclass(frozen=True, slots=True)
class Outlook:
    """`holder` is the web process that reaches a ready replica; `replica_id` names that one."""

    endpoint_id: int
    stage: str = "scheduled"
    holder: str = ""
    replica_id: int = 0
    repo_name: str = ""
    is_over: bool = False
    has_started: bool = False


def begin(db: Session, rt: Runtime, actor: Actor, route: Route) -> Outlook:
    """See that a replica is on its way. Raises ModelNotFound, NoRunner, NotServable, EngineFailed."""
    if route.endpoint_id:
        endpoint = lock_endpoint(db, route.endpoint_id)
    else:
        repo = db.get(Repo, route.repo_id)
        endpoint = add_on_demand(db, rt, repo, actor.require_user(), route.oid) if repo else None
        forget_routes(db)
    if endpoint is None:
        raise ModelNotFound(lazy("This model was deleted a moment ago."))
    check_active(endpoint)
    if route.endpoint_id and not list_live(db, endpoint.id) and not endpoint.is_upstream:
        follow_branch(db, rt, endpoint)
    if endpoint.name is None and actor.user_id is not None:
        # Whoever wants it now may read it; whoever wanted it first may no longer.
        endpoint.creator_id = actor.user_id
    started = ensure_replica(db, rt, endpoint)
    return replace(outlook_of(db, endpoint.id), has_started=started is not None)


def outlook_of(db: Session, endpoint_id: int) -> Outlook:
    """How far the endpoint's engines are just now."""
    live = [replica for replica in list_live(db, endpoint_id) if not is_lost(replica)]
    for replica in live:
        if replica.state == "ready" and replica.holder:
            endpoint = replica.endpoint
            name = endpoint.repo.repo_name if endpoint.repo is not None else endpoint.shown_name
            return Outlook(endpoint_id, "ready", replica.holder, replica.id, name)
    if not live:
        return Outlook(endpoint_id, is_over=True)
    return Outlook(endpoint_id, _stage(live[0]), is_over=all(_is_over(replica) for replica in live))


def _stage(replica: Replica) -> str:
    if replica.stage:
        return replica.stage
    return _STAGES.get(replica.job.state if replica.job else "", "starting")


def _is_over(replica: Replica) -> bool:
    return replica.job is None or replica.job.is_over


async def note_away(rt: Runtime, outlook: Outlook) -> None:
    """The process that held the replica is gone; its runner looks for another one."""

    def write(db: Session) -> None:
        replica = db.get(Replica, outlook.replica_id)
        if replica is not None and replica.holder == outlook.holder:
            replica.holder, replica.away_at = "", clock.now()

    await run_write(rt, write)


async def look_at(rt: Runtime, outlook: Outlook) -> Outlook:
    """The outlook as it is now; if its engine has ended, another is started. Raises EngineFailed."""
    found = await run_read(rt, lambda db: outlook_of(db, outlook.endpoint_id))
    if not found.is_over:
        return found
    found = await run_write(rt, lambda db: _begin_again(db, rt, outlook.endpoint_id))
    if found.has_started:
        wake_runners("engine")
    return found


def _begin_again(db: Session, rt: Runtime, endpoint_id: int) -> Outlook:
    endpoint = lock_endpoint(db, endpoint_id)
    if endpoint is None or endpoint.state != "active":
        raise Unavailable(lazy("This model is served no more."), code="endpoint_gone")
    settle(db, endpoint)
    if not endpoint.failed_count:
        started = ensure_replica(db, rt, endpoint)
        return replace(outlook_of(db, endpoint_id), has_started=started is not None)
    db.commit()  # that it failed is true whatever becomes of this call
    raise _failure(endpoint)


def _failure(endpoint: Endpoint) -> EngineFailed:
    return EngineFailed(
        lazy("%(model)s did not start: %(problem)s", model=endpoint.shown_name, problem=endpoint.problem)
    )
