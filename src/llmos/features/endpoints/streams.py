"""One call under way, as whoever asked sees it. No database, no pydantic: every token passes here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Frame = dict[str, Any]
LAST_EVENTS = frozenset(("done", "result", "error"))


@dataclass(frozen=True, slots=True)
class Served:
    """What answers a call. `facts` are the engine's (`wire.serving.EngineFacts`)."""

    endpoint_id: int
    repo_name: str
    revision: str
    facts: dict[str, Any] = field(default_factory=dict)


class CallStream:
    """The frames about one call without their `id`, and before them `waiting` ones. Close it when done.

    A waiting frame is `{"event": "waiting", "stage", "position", "elapsed_s"}`. `served` is set once an
    engine has the call. Belongs to one event loop.
    """

    __slots__ = (
        "_frames", "_loop", "_waker", "cancel", "completion_tokens", "first_at", "is_over", "on_end",
        "prompt_tokens", "served", "started_at", "submitted_at", "weight",
    )  # fmt: skip

    def __init__(self, on_end: Callable[[CallStream, Frame | None], None] | None = None) -> None:
        self._frames: list[Frame] = []
        self._loop = asyncio.get_running_loop()
        self._waker: asyncio.Future[None] | None = None
        self.served: Served | None = None
        self.is_over = False
        # What ends the call where it is just now: in the engine, in a line, or while a model starts.
        self.cancel: Callable[[], None] | None = None
        self.on_end = on_end
        self.weight = 1
        self.started_at = time.monotonic()
        self.submitted_at = 0.0
        self.first_at = 0.0
        self.prompt_tokens = 0
        self.completion_tokens = 0

    def push(self, frame: Frame) -> None:
        """Hand a frame to whoever reads; frames after the last one are dropped."""
        if self.is_over:
            return
        event = frame.get("event")
        if event == "delta":
            if not self.first_at:
                self.first_at = time.monotonic()
            self.completion_tokens += frame.get("count", 1)
        elif event == "start":
            self.prompt_tokens = frame.get("prompt_tokens", 0)
        self._frames.append(frame)
        if event in LAST_EVENTS:
            self._end(frame)
        waker = self._waker
        if waker is not None and not waker.done():
            waker.set_result(None)

    def fail(self, status: int, code: str, message: str, data: dict[str, Any] | None = None) -> None:
        """End with an error frame of the hub's own."""
        frame = {"event": "error", "status": status, "code": code, "message": message, "param": None}
        self.push(frame | {"data": data or {}})

    def wait_frame(self, stage: str, position: int | None = None) -> None:
        elapsed_s = round(time.monotonic() - self.started_at, 2)
        self.push({"event": "waiting", "stage": stage, "position": position, "elapsed_s": elapsed_s})

    def _end(self, last: Frame | None) -> None:
        self.is_over = True
        self.cancel = None
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end(self, last)

    async def batch(self) -> list[Frame]:
        """All frames there are, at least one; an empty list after the last one."""
        while not self._frames:
            if self.is_over:
                return []
            self._waker = self._loop.create_future()
            try:
                await self._waker
            finally:
                self._waker = None
        frames, self._frames = self._frames, []
        return frames

    def __aiter__(self) -> CallStream:
        return self

    async def __anext__(self) -> Frame:
        while not self._frames:
            if self.is_over:
                raise StopAsyncIteration
            self._waker = self._loop.create_future()
            try:
                await self._waker
            finally:
                self._waker = None
        return self._frames.pop(0)

    async def aclose(self) -> None:
        """End the call wherever it is; does nothing once it is over."""
        self.close()

    def close(self) -> None:
        """As `aclose`, from the loop's own thread."""
        cancel, self.cancel = self.cancel, None
        if not self.is_over:
            self._end(None)
        if cancel is not None:
            cancel()
        waker = self._waker
        if waker is not None and not waker.done():
            waker.set_result(None)

    def __del__(self) -> None:
        # Whoever forgot it must not keep an engine busy.
        if not self.is_over and not self._loop.is_closed():
            cancel = self.cancel
            if cancel is not None:
                self._loop.call_soon_threadsafe(cancel)
