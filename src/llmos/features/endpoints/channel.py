"""The hub's end of an engine's channel: a WebSocket that the engine's runner has opened.

A raw ASGI application. Whoever opens it is known before it is accepted: by a runner's token and the
lease on the engine's job, never by a cookie.
"""

from __future__ import annotations

import asyncio
import logging
import re

from sqlalchemy.orm import Session
from starlette.types import ASGIApp, Receive, Scope, Send

from llmos.core import clock
from llmos.core.errors import LlmosError, NotFound
from llmos.features.auth.edge import presented_token
from llmos.features.endpoints.engine import Engine
from llmos.features.endpoints.models import Endpoint, Replica
from llmos.features.endpoints.relay import listen
from llmos.features.endpoints.replicas import end_replica
from llmos.features.endpoints.streams import Served
from llmos.features.endpoints.switchboard import Switchboard, board_of
from llmos.features.endpoints.tending import tend
from llmos.features.jobs.engines import hold_engine
from llmos.features.jobs.runners import runner_of
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import run_write
from llmos.wire.jobs import LEASE_HEADER

log = logging.getLogger("llmos.endpoints")

_PATH = re.compile(r"/api/runners/jobs/([0-9a-f]{24})/channel")
# What a runner takes as: this engine is wanted no more.
STOP_CODE = 4001
_BAD_STATE = 1008
_LOST = "The engine that answered is gone: ask again."


class Channels:
    """Opens the channels of engines; every other WebSocket is refused, whatever it asks for."""

    def __init__(self, app: ASGIApp, rt: Runtime) -> None:
        self.app, self.rt = app, rt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self.app(scope, receive, send)
            return
        await receive()
        found = _PATH.fullmatch(scope["path"])
        if found is None:
            await send({"type": "websocket.close", "code": _BAD_STATE})
            return
        await _serve(self.rt, found[1], scope, receive, send)


async def _serve(rt: Runtime, job_id: str, scope: Scope, receive: Receive, send: Send) -> None:
    token = presented_token(scope["headers"])
    lease = dict(scope["headers"]).get(LEASE_HEADER.lower().encode(), b"")
    board = board_of(rt)
    try:
        replica_id, served = await run_write(
            rt, lambda db: _open(db, token, job_id, lease.decode("latin-1"), board.name)
        )
    except LlmosError as refusal:
        log.info("no channel for job %s: %s", job_id, refusal.message)
        await send({"type": "websocket.close", "code": _BAD_STATE})
        return
    await send({"type": "websocket.accept"})
    await _Channel(board, replica_id, served, receive, send).run()


def _open(db: Session, token: str | None, job_id: str, lease: str, holder: str) -> tuple[int, Served]:
    """The replica this job is, now held by this process. Raises Unauthenticated, NotFound, LeaseLost."""
    runner = runner_of(db, token)
    job, _ = hold_engine(db, runner, job_id, lease)
    replica = db.query(Replica).filter(Replica.job_id == job.id, Replica.state != "ended").first()
    if replica is None:
        raise NotFound(lazy("There is no such job."))
    endpoint = db.get(Endpoint, replica.endpoint_id)
    assert endpoint is not None
    replica.holder, replica.away_at, replica.runner_name = holder, None, runner.name
    name = endpoint.repo.repo_name if endpoint.repo is not None else endpoint.shown_name
    return replica.id, Served(endpoint.id, name, replica.oid, replica.facts)


class _Channel:
    """One WebSocket, from its acceptance to its end."""

    def __init__(
        self, board: Switchboard, replica_id: int, served: Served, receive: Receive, send: Send
    ) -> None:
        self.board, self.replica_id = board, replica_id
        self._receive, self._send = receive, send
        self._out: list[bytes] = []
        self._has_news = asyncio.Event()
        self._is_stopped = False
        self.engine = Engine(
            replica_id,
            served,
            self.post,
            queue_limit=board.rt.settings.serve_queue,
            on_change=self._note_change,
        )

    def post(self, line: bytes) -> None:
        self._out.append(line)
        self._has_news.set()

    def stop(self) -> None:
        """The engine is wanted no more."""
        self._is_stopped = True
        self._has_news.set()

    async def run(self) -> None:
        before = self.board.engines.get(self.replica_id)
        if before is not None:
            before.lose(_LOST)  # its runner has come back before this process noticed that it was away
        self.board.engines[self.replica_id] = self.engine
        self.board.hang_up[self.replica_id] = self.stop
        if self.board.rt.settings.web_workers > 1 and not self.board.is_listening:
            self.board.is_listening = True
            await listen(self.board)
        tend(self.board)
        writer = asyncio.create_task(self._write())
        try:
            await self._read()
        finally:
            writer.cancel()
            await self._end()

    async def _read(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] != "websocket.receive":
                return
            data = message.get("bytes")
            self.engine.take(data if data is not None else (message.get("text") or "").encode())

    async def _write(self) -> None:
        while True:
            await self._has_news.wait()
            self._has_news.clear()
            lines, self._out = self._out, []
            if lines:
                await self._send({"type": "websocket.send", "bytes": b"".join(lines)})
            if self._is_stopped:
                await self._send({"type": "websocket.close", "code": STOP_CODE})
                return

    async def _end(self) -> None:
        """What is known of the engine is written down before anybody who waits for it asks again.

        Also where this task itself is cancelled meanwhile: the note is a task of its own.
        """
        if self.board.engines.get(self.replica_id) is not self.engine:
            self._say_lost()
            return
        del self.board.engines[self.replica_id]
        self.board.hang_up.pop(self.replica_id, None)
        note = asyncio.ensure_future(run_write(self.board.rt, self._note_away))
        note.add_done_callback(lambda _: self._say_lost())
        await asyncio.shield(note)

    def _say_lost(self) -> None:
        self.engine.lose(_LOST)
        self.board.changed()

    def _note_away(self, db: Session) -> None:
        engine = self.engine
        replica = db.get(Replica, self.replica_id, with_for_update=True)
        if replica is None or replica.holder != self.board.name:
            return
        replica.holder, replica.away_at = "", clock.now()
        if engine.is_ready:
            replica.ready_at = replica.ready_at or clock.now()
        if engine.failure is not None:
            replica.reason = engine.failure["message"]
        if replica.state == "draining":
            end_replica(db, replica)

    def _note_change(self, engine: Engine) -> None:
        self.board.changed()
        if engine.is_gone:
            return
        values: dict[str, object] = {"stage": engine.stage}
        if engine.is_ready:
            values |= {"facts": engine.served.facts, "state": "ready"}
        elif engine.failure is not None:
            values |= {"reason": engine.failure["message"]}
        work = run_write(self.board.rt, lambda db: _note_state(db, self.replica_id, values))
        self.board.run(asyncio.ensure_future(work))


def _note_state(db: Session, replica_id: int, values: dict[str, object]) -> None:
    replica = db.get(Replica, replica_id, with_for_update=True)
    if replica is None or replica.state in ("draining", "ended"):
        return
    for name, value in values.items():
        setattr(replica, name, value)
    if replica.state == "ready" and replica.ready_at is None:
        replica.ready_at = clock.now()
        endpoint = db.get(Endpoint, replica.endpoint_id)
        if endpoint is not None:
            endpoint.failed_count, endpoint.problem = 0, ""
