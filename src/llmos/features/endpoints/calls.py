"""The one door to models that are served: `ask`."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from llmos.core.errors import LlmosError
from llmos.features.accounts.actor import Actor
from llmos.features.endpoints.engine import Engine
from llmos.features.endpoints.errors import QueueFull
from llmos.features.endpoints.limits import check_tokens
from llmos.features.endpoints.outlook import Outlook, begin, look_at, note_away, outlook_of
from llmos.features.endpoints.queries import ServedModel, list_served
from llmos.features.endpoints.relay import relay_to
from llmos.features.endpoints.resolving import Route, find_route, remembered_route
from llmos.features.endpoints.servable import Servable, describe_servable
from llmos.features.endpoints.streams import CallStream, Frame, Served
from llmos.features.endpoints.switchboard import Switchboard, board_of
from llmos.features.endpoints.upstream import ask_upstream
from llmos.features.endpoints.usage import tokens_since
from llmos.features.jobs.waking import wake_runners
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import run_read, run_write

log = logging.getLogger("llmos.endpoints")

__all__ = ["CallStream", "Servable", "Served", "ServedModel", "ask", "describe_servable", "list_served"]

# How often a call that waits for its model looks how far that is.
_LOOK_S = 0.2
_SAY_S = 1.0


async def ask(
    rt: Runtime,
    actor: Actor,
    model: str,
    call: dict[str, Any],
    *,
    task: str | None = None,
    timeout_s: float | None = None,
) -> CallStream:
    """Hand a call (a `wire.serving` call as a dict) to an engine that serves `model`; start one if need be.

    `model` is "namespace/name", "namespace/name@revision" or an endpoint's own name. `timeout_s` bounds
    the wait for the model, by default `serve_start_s`. Raises, before anything streams: ModelNotFound,
    NotServable, ServingOff, QueueFull, RateLimited, NoRunner, EngineFailed, GatedRepo. What goes wrong
    later is an `error` frame.
    """
    board = board_of(rt)
    route = remembered_route(rt, actor, model, task)
    if route is None:
        route = await run_read(rt, lambda db: find_route(db, rt, actor, model, task))
    board.limits.take(route, actor)
    if route.tokens_per_day:
        await _check_tokens(board, route)
    if route.is_upstream:
        return await ask_upstream(board, route, call)
    engine = board.pick(route.endpoint_id)
    if engine is not None:
        stream = CallStream()
        _submit(board, engine, stream, call)
        return stream
    return await _wait_for_engine(board, actor, route, call, timeout_s or rt.settings.serve_start_s)


async def _find_elsewhere(board: Switchboard, route: Route) -> Outlook | None:
    """An engine that another web process reaches."""
    if board.rt.settings.web_workers == 1 or not route.endpoint_id:
        return None
    outlook = await run_read(board.rt, lambda db: outlook_of(db, route.endpoint_id))
    return outlook if outlook.holder not in ("", board.name) else None


async def _check_tokens(board: Switchboard, route: Route) -> None:
    known = board.limits.known_tokens(route)
    if known is None:
        known = await run_read(board.rt, lambda db: tokens_since(db, route.endpoint_id))
        board.limits.note_tokens(route, known)
    check_tokens(route, known + board.meter.tokens_today(route.endpoint_id))


def _submit(board: Switchboard, engine: Engine, stream: CallStream, call: dict[str, Any]) -> None:
    def count(ended: CallStream, last: Frame | None) -> None:
        board.meter.count(engine.replica_id, ended, last)

    stream.on_end = count
    engine.submit(stream, call)


async def _wait_for_engine(
    board: Switchboard, actor: Actor, route: Route, call: dict[str, Any], limit_s: float
) -> CallStream:
    """A stream that says how far the model is, and then what it answers."""
    waiting = board.starting.get(route.endpoint_id, 0)
    if route.endpoint_id and waiting >= board.rt.settings.serve_queue:
        raise QueueFull(
            lazy("%(count)d calls wait for %(name)s already.", count=waiting, name=route.repo_name),
            data={"retry_after_s": 5, "waiting": waiting},
        )
    outlook = await _find_elsewhere(board, route)
    if outlook is None:
        outlook = await run_write(board.rt, lambda db: begin(db, board.rt, actor, route))
        if outlook.has_started:
            wake_runners("engine")
    stream = CallStream()
    task = asyncio.create_task(_follow(board, outlook, stream, call, time.monotonic() + limit_s))
    stream.cancel = lambda: _stop(task)
    task.add_done_callback(lambda done: _note_end(done, stream))
    board.run(task)
    return stream


def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()


def _note_end(task: asyncio.Task[None], stream: CallStream) -> None:
    """Whatever ended the wait, nobody is left waiting."""
    if task.cancelled() or task.exception() is not None:
        stream.fail(503, "unavailable", lazy("The server could not start the model: try again."))
        if not task.cancelled():
            log.error("a call could not wait for its model", exc_info=task.exception())


async def _follow(
    board: Switchboard, outlook: Outlook, stream: CallStream, call: dict[str, Any], until_s: float
) -> None:
    endpoint_id = outlook.endpoint_id
    board.starting[endpoint_id] = board.starting.get(endpoint_id, 0) + 1
    try:
        await _await_ready(board, outlook, stream, call, until_s)
    except LlmosError as error:
        stream.fail(error.status, error.code, error.message, error.data)
    finally:
        board.starting[endpoint_id] -= 1
        if not board.starting[endpoint_id]:
            del board.starting[endpoint_id]


async def _await_ready(
    board: Switchboard, outlook: Outlook, stream: CallStream, call: dict[str, Any], until_s: float
) -> None:
    said, said_at = "", 0.0
    while time.monotonic() < until_s:
        engine = board.pick(outlook.endpoint_id)
        if engine is not None:
            _submit(board, engine, stream, call)
            return
        if outlook.holder not in ("", board.name):
            if await relay_to(board, outlook, stream, call):
                return
            await note_away(board.rt, outlook)
        stage = board.stage_of(outlook.endpoint_id) or outlook.stage
        if stage != said or time.monotonic() - said_at > _SAY_S:
            said, said_at = stage, time.monotonic()
            stream.wait_frame(stage)
        await board.wait_change(_LOOK_S)
        if board.pick(outlook.endpoint_id) is None:
            outlook = await look_at(board.rt, outlook)
    stream.fail(504, "start_timeout", lazy("The model did not start in time: try again."))
