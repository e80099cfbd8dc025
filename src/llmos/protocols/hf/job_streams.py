"""Hub protocol: logs, measurements and states of a job as server-sent events, until it ends.

A stream that breaks off is begun again from its start, or (ours) after `Last-Event-ID`; the order of
the lines never changes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response, StreamingResponse

from llmos.core import clock
from llmos.core.errors import LlmosError, Unavailable
from llmos.features.auth.edge import resolve_actor
from llmos.features.jobs.models import Job
from llmos.features.jobs.policy import access_job, can_see_jobs
from llmos.features.jobs.streams import LogLineRow, Mark, mark_before_last, read_log
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import RuntimeDep, run_read
from llmos.infra.web.ending import has_end_begun, watch_for_end
from llmos.infra.web.lazy_routes import Router
from llmos.protocols.hf.answers import query_int
from llmos.protocols.hf.job_shapes import job_json
from llmos.protocols.hf.jobs import JOB

router = Router(tags=["jobs"])

POLL_S = 0.5
PING_S = 20.0
# The reader comes back, and its rights are looked at anew.
SESSION_S = 1800.0
MAX_FOLLOWERS = 500
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class _Followers:
    """How many streams this process holds open."""

    count = 0


def _stream(parts: AsyncIterator[bytes]) -> Response:
    if _Followers.count >= MAX_FOLLOWERS:
        raise Unavailable(lazy("Too many readers follow jobs at this moment: try again later."))
    watch_for_end()
    return StreamingResponse(_counted(parts), media_type="text/event-stream", headers=_HEADERS)


async def _counted(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    _Followers.count += 1
    try:
        yield b": follow\n\n"
        async for part in parts:
            yield part
    finally:
        _Followers.count -= 1


async def _pauses() -> AsyncIterator[bool]:
    """Goes on, with a pause after each step, until the time is up; true: say something now."""
    started = heard = time.monotonic()
    while time.monotonic() - started < SESSION_S and not has_end_begun():
        is_ping = time.monotonic() - heard > PING_S
        if is_ping:
            heard = time.monotonic()
        yield is_ping
        await asyncio.sleep(POLL_S)


@router.get(JOB + "/logs")
async def get_logs(request: Request, rt: RuntimeDep, namespace: str, job_id: str) -> Response:
    """`{timestamp, data}` a line, from the beginning, or the last `tail` lines, or after `Last-Event-ID`."""
    actor = await resolve_actor(rt, request)
    tail = query_int(request, "tail")
    last = request.headers.get("last-event-id") or request.query_params.get("after")

    def begin(db: Session) -> tuple[int, Mark]:
        job = access_job(db, actor, namespace, job_id)
        if tail is not None and not last:
            return job.id, mark_before_last(db, job.id, max(tail, 0))
        return job.id, Mark.parse(last)

    row_id, mark = await run_read(rt, begin)
    return _stream(_follow_log(rt, row_id, mark))


async def _follow_log(rt: Runtime, row_id: int, mark: Mark) -> AsyncIterator[bytes]:
    def look(db: Session) -> tuple[bool, list[LogLineRow], Mark]:
        # First whether it is over, then the lines: what comes in between is seen next time.
        job = db.get(Job, row_id)
        lines, following = read_log(db, row_id, mark)
        return job is None or job.is_over, lines, following

    async for is_ping in _pauses():
        while True:
            is_over, lines, mark = await run_read(rt, look)
            if lines:
                yield b"".join(map(_log_event, lines))
            elif is_over:
                return
            else:
                break
        if is_ping:
            yield b": keep-alive\n\n"


def _log_event(line: LogLineRow) -> bytes:
    at = line.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    data = orjson.dumps({"timestamp": at, "data": line.text, "stream": line.stream})
    return b"id: %s\ndata: %s\n\n" % (line.mark.encode(), data)


@router.get(JOB + "/metrics")
async def get_metrics(request: Request, rt: RuntimeDep, namespace: str, job_id: str) -> Response:
    """What the job uses, as its runner measures it; 406 once it is over."""
    actor = await resolve_actor(rt, request)
    job = await run_read(rt, lambda db: access_job(db, actor, namespace, job_id))
    if job.is_over:
        raise LlmosError(lazy("This job is over: it uses nothing any more."), status=406, code="JobIsOver")
    return _stream(_follow_metrics(rt, job.id))


async def _follow_metrics(rt: Runtime, row_id: int) -> AsyncIterator[bytes]:
    said_s = 0.0
    async for is_ping in _pauses():
        job = await run_read(rt, lambda db: db.get(Job, row_id))
        if job is None or job.is_over:
            return
        if job.sample and time.monotonic() - said_s >= 1:
            said_s = time.monotonic()
            yield b"event: metric\ndata: %s\n\n" % orjson.dumps(_metric(job))
        elif is_ping:
            yield b": keep-alive\n\n"


def _metric(job: Job) -> dict[str, Any]:
    sample, cores = job.sample, job.cores or 1
    gpus = {}
    if job.gpus:
        gpus["all"] = {
            "utilization": round(100 * sample["gpu"] / job.gpus),
            "memory_used_bytes": sample["gpu_memory_bytes"],
            "memory_total_bytes": max(job.gpu_memory_bytes * job.gpus, 1),
        }
    return {
        "cpu_usage_pct": round(100 * sample["cpu"] / cores),
        "cpu_millicores": round(1000 * cores),
        "memory_used_bytes": sample["memory_bytes"],
        "memory_total_bytes": max(job.memory_bytes, sample["memory_bytes"], 1),
        "rx_bps": 0,
        "tx_bps": 0,
        "gpus": gpus,
        "replica": f"{job.object_id[-6:]}-{job.attempt}",
        "energy_wh": job.energy_wh,
        "timestamp": sample.get("at") or clock.to_json(clock.now()),
    }


@router.get(JOB + "/events")
async def get_events(request: Request, rt: RuntimeDep, namespace: str, job_id: str) -> Response:
    """The job, now and whenever its state, phase or progress changes, until it is over."""
    actor = await resolve_actor(rt, request)
    job = await run_read(rt, lambda db: access_job(db, actor, namespace, job_id))
    return _stream(_follow_states(rt, job.id, is_member=can_see_jobs(actor, job.namespace)))


async def _follow_states(rt: Runtime, row_id: int, *, is_member: bool) -> AsyncIterator[bytes]:
    said: object = None
    async for is_ping in _pauses():
        job = await run_read(rt, lambda db: db.get(Job, row_id))
        if job is None:
            return
        seen = (job.state, job.attempt, job.phase, job.done, job.total, job.reason)
        if seen != said:
            said = seen
            shape = await run_read(rt, _shape_of(row_id, is_member=is_member))
            yield b"event: job\ndata: %s\n\n" % orjson.dumps(shape)
        elif is_ping:
            yield b": keep-alive\n\n"
        if job.is_over:
            return


def _shape_of(row_id: int, *, is_member: bool) -> Any:
    def shape(db: Session) -> dict[str, Any]:
        job = db.get(Job, row_id)
        return job_json(job, is_member=is_member) if job is not None else {}

    return shape
