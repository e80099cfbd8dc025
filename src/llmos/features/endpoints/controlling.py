"""What the worker does for endpoints every two seconds: ends what is idle or over, starts what is missing."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import LlmosError
from llmos.features.endpoints.models import Endpoint, Replica
from llmos.features.endpoints.replicas import (
    drain,
    end_replica,
    follow_branch,
    is_lost,
    list_live,
    lock_endpoint,
    settle,
    start_replica,
)
from llmos.features.repos.models import Repo
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime

log = logging.getLogger("llmos.endpoints")

# A replica that nobody has reached for so long is given up; one that drains has so long for its last calls.
GONE = timedelta(minutes=2)
DRAIN = timedelta(minutes=10)
_MAX_PAUSE_S = 600


def control(rt: Runtime) -> None:
    """Look at every endpoint that has engines, or should have some. One query when there are none."""
    with rt.database.reading() as db:
        ids = list(db.scalars(_to_look_at()))
    for endpoint_id in ids:
        with rt.database.writing() as db:
            endpoint = lock_endpoint(db, endpoint_id)
            if endpoint is not None:
                control_one(db, rt, endpoint)


def _to_look_at() -> Select[int]:
    has_engines = Endpoint.id.in_(select(Replica.endpoint_id).where(Replica.state != "ended"))
    wants_some = (Endpoint.state == "active") & (Endpoint.min_replicas > 0) & Endpoint.repo_id.is_not(None)
    return select(Endpoint.id).where(or_(has_engines, wants_some)).order_by(Endpoint.id)


def next_work_at(db: Session) -> datetime | None:
    """Now, while anything is served; None: the worker may rest."""
    found = db.scalar(_to_look_at().limit(1))
    return clock.now() if found is not None else None


def control_one(db: Session, rt: Runtime, endpoint: Endpoint) -> None:
    """Bring one endpoint nearer to what is wanted of it."""
    settle(db, endpoint)
    _end_stuck(db, endpoint)
    repo = db.get(Repo, endpoint.repo_id) if endpoint.repo_id else None
    if endpoint.state != "active" or repo is None:
        for replica in list_live(db, endpoint.id):
            drain(db, replica, lazy("The endpoint was paused."))
        return
    follow_branch(db, rt, endpoint)
    live = [replica for replica in list_live(db, endpoint.id) if not is_lost(replica)]
    _drain_old(db, endpoint, live)
    live = [replica for replica in live if replica.state in ("starting", "ready")]
    if _is_idle(rt, endpoint, live):
        for replica in live[endpoint.min_replicas :]:
            drain(db, replica, lazy("Nobody called it for a while."))
    elif _missing(endpoint, live):
        _start(db, rt, endpoint)


def _end_stuck(db: Session, endpoint: Endpoint) -> None:
    now = clock.now()
    statement = select(Replica).where(
        Replica.endpoint_id == endpoint.id, Replica.state.in_(("ready", "draining"))
    )
    for replica in db.scalars(statement.order_by(Replica.id)):
        if replica.away_at is not None and now - replica.away_at > GONE:
            end_replica(db, replica, lazy("Its runner was not heard of any more."))
        elif replica.draining_at is not None and now - replica.draining_at > DRAIN:
            end_replica(db, replica)


def _drain_old(db: Session, endpoint: Endpoint, live: list[Replica]) -> None:
    """What serves another commit goes once something serves the right one."""
    if any(replica.oid == endpoint.oid and replica.state == "ready" for replica in live):
        for replica in live:
            if replica.oid != endpoint.oid:
                drain(db, replica, lazy("A newer revision took its place."))


def _is_idle(rt: Runtime, endpoint: Endpoint, live: list[Replica]) -> bool:
    if len(live) <= endpoint.min_replicas or endpoint.waiting:
        return False
    idle = timedelta(seconds=endpoint.idle_s or rt.settings.serve_idle_s)
    times = [endpoint.last_called_at, *(replica.ready_at or replica.created_at for replica in live)]
    return clock.now() - max(at for at in times if at is not None) > idle


def _missing(endpoint: Endpoint, live: list[Replica]) -> bool:
    """Whether one more is to be started: fewer than wanted, an old revision, or a line before the others."""
    if any(replica.state == "starting" for replica in live):
        return False
    if len(live) < endpoint.min_replicas:
        return True
    if live and all(replica.oid != endpoint.oid for replica in live):
        return True
    return bool(live) and endpoint.waiting > 0 and len(live) < endpoint.max_replicas


def _start(db: Session, rt: Runtime, endpoint: Endpoint) -> None:
    if endpoint.failed_at is not None and endpoint.failed_count:
        pause = timedelta(seconds=min(2**endpoint.failed_count, _MAX_PAUSE_S))
        if clock.now() - endpoint.failed_at < pause:
            return
    try:
        with db.begin_nested():
            start_replica(db, rt, endpoint)
    except LlmosError as refusal:
        endpoint.problem = refusal.message
        endpoint.failed_count, endpoint.failed_at = endpoint.failed_count + 1, clock.now()
        log.info("endpoint %s: %s", endpoint.shown_name, refusal.message)
