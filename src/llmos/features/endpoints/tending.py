"""What a web process does once a second for the engines it reaches, as long as there are any."""

from __future__ import annotations

import asyncio
import logging

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from llmos.features.endpoints.models import Replica
from llmos.features.endpoints.replicas import end_replica
from llmos.features.endpoints.switchboard import Switchboard
from llmos.features.jobs.models import Job
from llmos.infra.web.deps import run_read, run_write

log = logging.getLogger("llmos.endpoints")

LOOK_S = 1.0


def tend(board: Switchboard) -> None:
    """Look after the engines of this process until it reaches none any more."""
    if not board.is_tended:
        board.is_tended = True
        board.run(asyncio.create_task(_tend(board)))


async def _tend(board: Switchboard) -> None:
    try:
        while board.engines:
            await asyncio.sleep(LOOK_S)
            try:
                await look(board)
            except SQLAlchemyError:  # the database may be away for a moment
                log.exception("engines could not be looked after")
    finally:
        board.is_tended = False


async def look(board: Switchboard) -> None:
    """Send no more calls to engines that drain; hang up on those that are over or have nothing left to do."""
    ids = list(board.engines)
    states = await run_read(board.rt, lambda db: _states(db, ids))
    for replica_id in ids:
        engine = board.engines.get(replica_id)
        if engine is None:
            continue
        state = states.get(replica_id, "ended")
        engine.is_draining = state != "ready" and engine.is_ready
        if state == "draining" and engine.is_idle:
            await run_write(board.rt, lambda db, id_=replica_id: _end(db, id_))  # type: ignore[misc]
            state = "ended"
        if state == "ended" and (hang_up := board.hang_up.get(replica_id)) is not None:
            hang_up()
    for endpoint_id, waiting in board.lines().items():
        board.meter.note_waiting(endpoint_id, waiting)


def _states(db: Session, ids: list[int]) -> dict[int, str]:
    rows = db.execute(
        select(Replica.id, Replica.state, Job.finished_at)
        .outerjoin(Job, Job.id == Replica.job_id)
        .where(Replica.id.in_(ids))
    )
    return {row.id: "ended" if row.finished_at is not None else row.state for row in rows}


def _end(db: Session, replica_id: int) -> None:
    replica = db.get(Replica, replica_id)
    if replica is not None:
        end_replica(db, replica)
