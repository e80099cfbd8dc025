"""What runners call: see `wire.jobs` for the table. A runner token opens these and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from fastapi import FastAPI, Request
from pydantic import BaseModel, ValidationError
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core.errors import Unprocessable
from llmos.features.auth.edge import presented_token
from llmos.features.jobs.claiming import claim_job, find_candidates, is_anything_queued
from llmos.features.jobs.models import Runner
from llmos.features.jobs.reporting import take_events, take_heartbeat, take_proposal
from llmos.features.jobs.runners import needs_note, note_alive, note_seen, runner_of, welcome
from llmos.features.jobs.waking import wait_for_job
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.security.ratelimit import mark_credential_good
from llmos.infra.security.secrets import hash_secret
from llmos.infra.web.bodies import read_body
from llmos.infra.web.deps import RuntimeDep, run_read, run_write
from llmos.infra.web.ending import has_end_begun, watch_for_end
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.routing import add_router
from llmos.infra.web.urls import base_url
from llmos.wire.jobs import (
    LEASE_HEADER,
    MAX_CLAIM_WAIT_S,
    Claim,
    EventBatch,
    Heartbeat,
    StateProposal,
)
from llmos.wire.runners import DrainRequest, RunnerHello

router = Router(tags=["runners"])

POLL_S = 0.25
LOOK_AGAIN_S = 1.0
_ADMIT_S = 2.0
_MAX_ADMITTED = 10_000
_admitted: dict[tuple[int, str], float] = {}
MAX_BODY_BYTES = 8 * 1024 * 1024
M = TypeVar("M", bound=BaseModel)
T = TypeVar("T", bound=BaseModel)


async def _ask(rt: Runtime, request: Request) -> Runner:
    """Who is calling: a runner, by its token. Raises Unauthenticated before the body is read."""
    token = presented_token(request.headers.raw)
    runner = await run_read(rt, lambda db: runner_of(db, token))
    mark_credential_good(request.scope)
    return runner


async def _admit(rt: Runtime, request: Request) -> str:
    """The token of a caller whose body may be read: a runner's now, or a moment ago.

    The transaction that follows asks again. Raises Unauthenticated.
    """
    token = presented_token(request.headers.raw) or ""
    key = (id(rt), hash_secret(token))
    if _admitted.get(key, 0.0) < time.monotonic():
        await run_read(rt, lambda db: runner_of(db, token, is_alone=True))
        if len(_admitted) > _MAX_ADMITTED:
            _admitted.clear()
        _admitted[key] = time.monotonic() + _ADMIT_S
    mark_credential_good(request.scope)
    return token


async def _read(request: Request, shape: type[M]) -> M:
    data = await read_body(request.receive, limit_bytes=MAX_BODY_BYTES)
    try:
        return shape.model_validate_json(data or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise Unprocessable(
            lazy("%(where)s: %(why)s.", where=where, why=first["msg"]), data={"field": where}
        ) from error


def _say(message: BaseModel) -> Response:
    return Response(message.model_dump_json(), media_type="application/json")


@router.post("/api/runners/hello")
async def post_hello(request: Request, rt: RuntimeDep) -> Response:
    """A runner introduces itself, and learns how the hub sees it."""
    runner = await _ask(rt, request)
    hello = await _read(request, RunnerHello)
    await run_write(rt, lambda db: note_seen(db, runner.id, hello))
    return _say(welcome(rt, runner, base_url(request, rt.settings)))


@router.post("/api/runners/drain")
async def post_drain(request: Request, rt: RuntimeDep) -> Response:
    """A runner that wants no more jobs, or wants them again."""
    await _ask(rt, request)
    wish = await _read(request, DrainRequest)

    def change(db: Session) -> Runner:
        found = runner_of(db, presented_token(request.headers.raw))
        found.is_draining = wish.draining
        return found

    return _say(welcome(rt, await run_write(rt, change), base_url(request, rt.settings)))


@router.post("/api/runners/claim")
async def post_claim(request: Request, rt: RuntimeDep) -> Response:
    """The next job for this runner, under a lease; 204 when none comes within `wait_s`."""
    token = await _admit(rt, request)
    hello = await _read(request, RunnerHello)
    watch_for_end()
    ends_at = time.monotonic() + min(hello.wait_s, MAX_CLAIM_WAIT_S)
    look_at, is_first = 0.0, True
    while True:
        if time.monotonic() >= look_at:
            claim, does_wait = await _try(request, rt, hello, token, is_first=is_first)
            if claim is not None:
                return _say(claim)
            is_first = False
            if does_wait:
                # What waits is not for this one: no need to look as often.
                look_at = time.monotonic() + LOOK_AGAIN_S
        if time.monotonic() >= ends_at or has_end_begun() or await request.is_disconnected():
            return Response(status_code=204)
        if await wait_for_job(hello.kinds, POLL_S):
            look_at = 0.0


@dataclass(frozen=True, slots=True)
class _Look:
    does_wait: bool = False  # some job, for whomever
    runner_id: int = 0
    needs_note: bool = False
    candidates: Sequence[int] = ()


async def _try(
    request: Request, rt: Runtime, hello: RunnerHello, token: str, *, is_first: bool
) -> tuple[Claim | None, bool]:
    """A job that suits, if there is one, and whether any waits. The first time, the runner is noted."""
    hub_url = base_url(request, rt.settings)

    def look(db: Session) -> _Look:
        if not is_first and not is_anything_queued(db, hello.kinds):
            return _Look()
        runner = runner_of(db, token, is_alone=True)
        candidates = find_candidates(db, rt, runner, hello)
        does_wait = bool(candidates) or is_anything_queued(db, hello.kinds)
        return _Look(does_wait, runner.id, is_first and needs_note(runner, hello), candidates)

    seen = await run_read(rt, look)

    def take(db: Session) -> Claim | None:
        if seen.needs_note:
            note_seen(db, seen.runner_id, hello)
        return claim_job(db, rt, seen.runner_id, hello, seen.candidates, hub_url) if seen.candidates else None

    if not seen.needs_note and not seen.candidates:
        return None, seen.does_wait
    return await run_write(rt, take), seen.does_wait


async def _told(
    request: Request, rt: Runtime, shape: type[M], take: Callable[[Session, Runner, str, M], T]
) -> Response:
    """A call about one job, in one transaction with the check of its lease."""
    token = await _admit(rt, request)
    message = await _read(request, shape)
    lease = request.headers.get(LEASE_HEADER, "")

    def take_it(db: Session) -> T:
        runner = runner_of(db, token, is_alone=True)
        answer = take(db, runner, lease, message)
        note_alive(runner)
        return answer

    return _say(await run_write(rt, take_it))


@router.post("/api/runners/jobs/{job_id:seg}/events")
async def post_events(request: Request, rt: RuntimeDep, job_id: str) -> Response:
    """Log lines, points of curves, progress and samples; each number is kept once."""
    return await _told(
        request,
        rt,
        EventBatch,
        lambda db, runner, lease, batch: take_events(db, rt, runner, job_id, lease, batch),
    )


@router.post("/api/runners/jobs/{job_id:seg}/heartbeat")
async def post_heartbeat(request: Request, rt: RuntimeDep, job_id: str) -> Response:
    """A sign of life that renews the lease."""
    return await _told(
        request,
        rt,
        Heartbeat,
        lambda db, runner, lease, beat: take_heartbeat(db, rt, runner, job_id, lease, beat),
    )


@router.post("/api/runners/jobs/{job_id:seg}/state")
async def post_state(request: Request, rt: RuntimeDep, job_id: str) -> Response:
    """A state the runner proposes; 409 when it does not follow, or the lease is lost."""
    return await _told(
        request,
        rt,
        StateProposal,
        lambda db, runner, lease, proposal: take_proposal(db, rt, runner, job_id, lease, proposal),
    )


def add_runner_routes(app: FastAPI) -> None:
    add_router(app, router)
