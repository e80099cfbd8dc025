"""One engine as a web process reaches it: the calls in it, and the line before it.

The line is kept here and not in the engine, so that everybody in it can be told their place, and
so that a call can leave it at once.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import orjson

from llmos.features.endpoints.errors import QueueFull
from llmos.features.endpoints.streams import LAST_EVENTS, CallStream, Served
from llmos.infra.i18n import lazy

_TELL_EVERY_S = 0.5
_CANCEL = b'{"id":%d,"call":"cancel"}\n'
# When nothing is known of how fast it is.
_RETRY_AFTER_S = 5


class Engine:
    """`post` sends lines to the engine; `on_change` is called when it becomes ready, fails or goes."""

    def __init__(
        self,
        replica_id: int,
        served: Served,
        post: Callable[[bytes], None],
        *,
        queue_limit: int,
        on_change: Callable[[Engine], None],
    ) -> None:
        self.replica_id, self.served, self.post = replica_id, served, post
        self.stage = "starting"
        self.is_ready = False
        self.is_gone = False
        self.is_draining = False
        self.failure: dict[str, Any] | None = None
        self.queue_limit = queue_limit
        self.on_change = on_change
        self.last_called_at = time.monotonic()
        self._ids = itertools.count(1)
        self._calls: dict[int, CallStream] = {}
        self._line: deque[tuple[CallStream, dict[str, Any]]] = deque()
        self._used = 0
        self._told_at = 0.0

    @property
    def capacity(self) -> int:
        """How many answers it writes at a time."""
        return max(int(self.served.facts.get("max_streams") or 1), 1)

    @property
    def load(self) -> float:
        """To compare engines by: answers under way and waiting, of what it takes at a time."""
        return (self._used + len(self._line)) / self.capacity

    @property
    def waiting(self) -> int:
        return len(self._line)

    @property
    def is_idle(self) -> bool:
        return not self._calls and not self._line

    def check_room(self) -> None:
        """Raises QueueFull."""
        if len(self._line) >= self.queue_limit:
            raise QueueFull(
                lazy(
                    "%(count)d calls wait for %(name)s already: try again in a moment.",
                    count=len(self._line),
                    name=self.served.repo_name,
                ),
                data={"retry_after_s": _RETRY_AFTER_S, "waiting": len(self._line)},
            )

    def submit(self, stream: CallStream, call: dict[str, Any]) -> None:
        """Begin a call, or put it in line. Raises QueueFull."""
        self.last_called_at = time.monotonic()
        stream.weight = min(max(int(call.get("n") or 1), 1), self.capacity)
        stream.served = self.served
        if self._line or self._used + stream.weight > self.capacity:
            self.check_room()
            entry = (stream, call)
            self._line.append(entry)
            stream.cancel = lambda: self._leave_line(entry)
            stream.wait_frame("queued", len(self._line))
        else:
            self._begin(stream, call)

    def _begin(self, stream: CallStream, call: dict[str, Any]) -> None:
        number = next(self._ids)
        self._calls[number] = stream
        self._used += stream.weight
        stream.submitted_at = time.monotonic()
        stream.cancel = lambda: self._cancel(number)
        self.post(orjson.dumps({"id": number, **call}) + b"\n")

    def _cancel(self, number: int) -> None:
        if self._forget(number) is not None:
            self.post(_CANCEL % number)

    def _leave_line(self, entry: tuple[CallStream, dict[str, Any]]) -> None:
        try:
            self._line.remove(entry)
        except ValueError:
            return
        self._tell_places()

    def _forget(self, number: int) -> CallStream | None:
        stream = self._calls.pop(number, None)
        if stream is not None:
            self._used -= stream.weight
            self._advance()
        return stream

    def _advance(self) -> None:
        while self._line and self._used + self._line[0][0].weight <= self.capacity:
            stream, call = self._line.popleft()
            self._begin(stream, call)
        if self._line and time.monotonic() - self._told_at > _TELL_EVERY_S:
            self._tell_places()

    def _tell_places(self) -> None:
        self._told_at = time.monotonic()
        for place, (stream, _) in enumerate(self._line, 1):
            stream.wait_frame("queued", place)

    def take(self, message: bytes) -> None:
        """Lines from the engine. What cannot be understood is left out: an engine is not to be trusted."""
        for line in message.split(b"\n"):
            if not line:
                continue
            try:
                frame = orjson.loads(line)
                number = frame.pop("id", None)
            except (orjson.JSONDecodeError, AttributeError):
                continue
            if number is None:
                self._about_itself(frame)
                continue
            stream = self._calls.get(number) if isinstance(number, int) else None
            if stream is None:
                continue
            if frame.get("event") in LAST_EVENTS:
                self._forget(number)
            stream.push(frame)

    def _about_itself(self, frame: dict[str, Any]) -> None:
        event = frame.get("event")
        if event == "stage":
            self.stage = str(frame.get("stage", ""))[:20]
            self.on_change(self)
        elif event == "ready":
            facts = frame.get("facts")
            self.served = Served(
                self.served.endpoint_id,
                self.served.repo_name,
                self.served.revision,
                facts if isinstance(facts, dict) else {},
            )
            self.is_ready = True
            self.on_change(self)
        elif event == "failed":
            self.failure = {
                "code": str(frame.get("code", ""))[:60],
                "message": str(frame.get("message", ""))[:2000],
            }
            self.on_change(self)

    def lose(self, message: str) -> None:
        """Nothing of it can be reached any more: every call ends with an error."""
        if self.is_gone:
            return
        self.is_gone, self.is_ready = True, False
        streams = [*self._calls.values(), *(stream for stream, _ in self._line)]
        self._calls.clear()
        self._line.clear()
        self._used = 0
        for stream in streams:
            stream.fail(503, "engine_lost", message)
        self.on_change(self)
