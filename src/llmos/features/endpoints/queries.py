"""Everything read about endpoints."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.features.accounts.actor import Actor
from llmos.features.endpoints.models import Endpoint, EndpointUsage, Replica
from llmos.features.endpoints.policy import can_call
from llmos.infra.runtime import Runtime


@dataclass(frozen=True, slots=True)
class ServedModel:
    """An endpoint the actor may call. `name` is what `ask` takes; for `state` see `state_of`."""

    endpoint_id: int
    name: str
    repo_name: str
    revision: str
    task: str
    state: str
    created_at: Any
    owner: str
    facts: dict[str, Any] = field(default_factory=dict)


_RANK = {"ready": 0, "starting": 1, "asleep": 2, "paused": 3}


def list_served(db: Session, rt: Runtime, actor: Actor) -> list[ServedModel]:
    """Endpoints the actor may call, ready ones first."""
    del rt
    statement = select(Endpoint).where(Endpoint.state == "active").order_by(Endpoint.id)
    endpoints = [one for one in db.scalars(statement).unique() if can_call(db, actor, one)]
    live = live_replicas(db, [one.id for one in endpoints])
    found = [_served(one, live.get(one.id, [])) for one in endpoints]
    return sorted(found, key=lambda one: _RANK[one.state])


def served_repo_ids(db: Session, repo_ids: list[int]) -> set[int]:
    """Those of the repositories that have an endpoint."""
    statement = select(Endpoint.repo_id).where(Endpoint.repo_id.in_(repo_ids), Endpoint.state == "active")
    return {found for found in db.scalars(statement) if found is not None}


def live_replicas(db: Session, endpoint_ids: list[int]) -> dict[int, list[Replica]]:
    """Replicas that have not ended, by endpoint, oldest first."""
    statement = (
        select(Replica)
        .where(Replica.endpoint_id.in_(endpoint_ids), Replica.state != "ended")
        .order_by(Replica.id)
    )
    found: dict[int, list[Replica]] = {}
    for replica in db.scalars(statement):
        found.setdefault(replica.endpoint_id, []).append(replica)
    return found


def state_of(endpoint: Endpoint, replicas: list[Replica]) -> str:
    """ready, starting, asleep, failed or paused."""
    if endpoint.state == "paused":
        return "paused"
    if endpoint.is_upstream or any(one.state == "ready" and one.holder for one in replicas):
        return "ready"
    return "starting" if any(one.state in ("starting", "ready") for one in replicas) else "asleep"


def _served(endpoint: Endpoint, replicas: list[Replica]) -> ServedModel:
    ready = next((one for one in replicas if one.state == "ready"), None)
    repo_name = endpoint.repo.repo_name if endpoint.repo is not None else ""
    return ServedModel(
        endpoint_id=endpoint.id,
        name=endpoint.shown_name,
        repo_name=repo_name,
        revision=ready.oid if ready else endpoint.oid,
        task=endpoint.task,
        state=state_of(endpoint, replicas),
        created_at=endpoint.created_at,
        owner=endpoint.namespace.name,
        facts=ready.facts if ready else {},
    )


def list_endpoints(db: Session, actor: Actor) -> list[Endpoint]:
    """Endpoints the actor may call, also paused ones: first those of their own, then by name."""
    statement = select(Endpoint).order_by(Endpoint.name.is_(None), Endpoint.name_key, Endpoint.id)
    found = [one for one in db.scalars(statement).unique() if can_call(db, actor, one)]
    mine = {actor.user_id, *actor.roles}
    return sorted(found, key=lambda one: one.namespace_id not in mine)


def list_repo_endpoints(db: Session, actor: Actor, repo_id: int) -> list[Endpoint]:
    """The endpoints of a model that the actor may call."""
    statement = (
        select(Endpoint).where(Endpoint.repo_id == repo_id).order_by(Endpoint.name.is_(None), Endpoint.id)
    )
    return [one for one in db.scalars(statement).unique() if can_call(db, actor, one)]


def list_usage(db: Session, endpoint: Endpoint, span: timedelta = timedelta(days=7)) -> list[EndpointUsage]:
    """What was asked of it in each hour, oldest first; hours without calls are left out."""
    statement = (
        select(EndpointUsage)
        .where(EndpointUsage.endpoint_id == endpoint.id, EndpointUsage.hour > clock.now() - span)
        .order_by(EndpointUsage.hour)
    )
    return list(db.scalars(statement))


def list_past(db: Session, endpoint: Endpoint, limit: int = 10) -> list[Replica]:
    """Replicas that have ended, newest first."""
    statement = (
        select(Replica)
        .where(Replica.endpoint_id == endpoint.id, Replica.state == "ended")
        .order_by(Replica.id.desc())
        .limit(limit)
    )
    return list(db.scalars(statement))
