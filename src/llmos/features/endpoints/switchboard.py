"""The engines one web process reaches, and who waits for one of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Callable

from llmos.features.endpoints.engine import Engine
from llmos.features.endpoints.limits import Limits
from llmos.features.endpoints.usage import Meter
from llmos.infra.runtime import Runtime

_boards: dict[int, Switchboard] = {}


class Switchboard:
    """Belongs to the event loop of its web process. `name` is what rows call this process."""

    def __init__(self, rt: Runtime) -> None:
        self.rt = rt
        self.name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self.engines: dict[int, Engine] = {}
        self.hang_up: dict[int, Callable[[], None]] = {}
        self.meter = Meter(rt)
        self.limits = Limits(rt.settings.home / "run")
        self.starting: dict[int, int] = {}  # endpoint -> calls that wait for it to start
        self.is_tended = False
        self.is_listening = False
        self.at_end: list[Callable[[], None]] = []
        self._lines: dict[int, int] = {}
        self._sleepers: set[asyncio.Future[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def pick(self, endpoint_id: int) -> Engine | None:
        """The engine of the endpoint that has least to do, among those that are ready."""
        best: Engine | None = None
        for engine in self.engines.values():
            if engine.served.endpoint_id != endpoint_id or not engine.is_ready or engine.is_draining:
                continue
            if best is None or engine.load < best.load:
                best = engine
        return best

    def lines(self) -> dict[int, int]:
        """Endpoints whose line has changed since the last look, with how many calls wait in it."""
        now = dict(self.starting)
        for engine in self.engines.values():
            if engine.waiting:
                now[engine.served.endpoint_id] = now.get(engine.served.endpoint_id, 0) + engine.waiting
        changed = {
            id_: now.get(id_, 0) for id_ in {*now, *self._lines} if now.get(id_) != self._lines.get(id_)
        }
        self._lines = now
        return changed

    def stage_of(self, endpoint_id: int) -> str:
        """What an engine that is connected and not yet ready does; empty where there is none."""
        for engine in self.engines.values():
            if engine.served.endpoint_id == endpoint_id and not engine.is_ready:
                return engine.stage
        return ""

    def changed(self) -> None:
        """Wake whoever waits for an engine."""
        for sleeper in self._sleepers:
            if not sleeper.done():
                sleeper.set_result(None)

    async def wait_change(self, timeout_s: float) -> None:
        sleeper = asyncio.get_running_loop().create_future()
        self._sleepers.add(sleeper)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(sleeper, timeout_s)
        finally:
            self._sleepers.discard(sleeper)

    def run(self, work: asyncio.Task[None]) -> None:
        """Keep a task until it is done."""
        self._tasks.add(work)
        work.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """The process ends: engines stay where they are and look for another one."""
        for engine in list(self.engines.values()):
            engine.lose("The server is being restarted: try again.")
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for end in self.at_end:
            end()
        await self.meter.close()


def board_of(rt: Runtime) -> Switchboard:
    """The switchboard of this process."""
    board = _boards.get(id(rt))
    if board is None:
        board = _boards[id(rt)] = Switchboard(rt)
    return board


async def close_board(rt: Runtime) -> None:
    board = _boards.pop(id(rt), None)
    if board is not None:
        await board.close()
