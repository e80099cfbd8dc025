"""The engine's loop: take frames, advance what is under way, tell what came of it. One thread does all."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from llmos.core.errors import LlmosError
from llmos.lab.serve.channel import Channel
from llmos.lab.serve.errors import STUMBLES, CallError, error_frame, stumbled
from llmos.lab.serve.generating import Generating
from llmos.lab.serve.jobs import Job, Jobs
from llmos.wire.serving import Embed, Explain, Generate, RunTask, Tokenize

_LOAD_EVERY_S = 1.0
_CALLS: dict[str, type[Any]] = {
    "generate": Generate,
    "embed": Embed,
    "task": RunTask,
    "tokenize": Tokenize,
    "explain": Explain,
}
_LAST = ("done", "result", "error")


@dataclass
class _Running:
    number: int
    job: Job


class Service:
    """Answers calls until the channel closes. One that fails does not touch the others."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.generating: Generating | None = None
        self.jobs: Jobs | None = None
        self._running: deque[_Running] = deque()
        self._told: dict[str, int] = {}
        self._told_at = 0.0
        self._open: set[int] = set()
        # What the engine asks of itself has negative numbers, and its frames stay here.
        self._inner: dict[int, list[dict[str, Any]]] = {}
        self._last_inner = 0

    def send(self, number: int, frame: dict[str, Any]) -> None:
        if number in self._inner:
            self._inner[number].append(frame)
            return
        if frame["event"] in _LAST:
            self._open.discard(number)
        self.channel.send({"id": number, **frame})

    def run(self) -> None:
        while not self.channel.closed and not (self.channel.ended and not self._has_work):
            for frame in self.channel.poll(0 if self._has_work else self._patience()):
                self._take(frame)
            if self.generating is not None and self.generating.has_work:
                self._step(self.generating)
            if self._running:
                self._advance(self._running[0])
            self._tell_load()
            self.channel.flush()
        self.channel.drain()

    def ask(self, call: Generate) -> Generator[None, None, str]:
        """The text of an answer, for a task that needs one. Raises CallError."""
        if self.generating is None:
            raise CallError("This model writes no text.", code="task_not_supported")
        self._last_inner -= 1
        number = self._last_inner
        frames = self._inner[number] = []
        try:
            self.generating.take(number, call)
            while not frames or frames[-1]["event"] not in _LAST:
                yield
        finally:
            self.generating.cancel(number)
            del self._inner[number]
        last = frames[-1]
        if last["event"] == "error":
            raise CallError(last["message"], code=last["code"], status=last["status"], param=last["param"])
        return "".join(frame["text"] for frame in frames if frame["event"] == "delta")

    @property
    def _has_work(self) -> bool:
        return bool(self._running) or (self.generating is not None and self.generating.has_work)

    def _patience(self) -> float | None:
        if self._load() == self._told:
            return None
        return max(0.0, self._told_at + _LOAD_EVERY_S - time.monotonic())

    # Frames that come

    def _take(self, frame: dict[str, Any]) -> None:
        number, kind = frame.get("id"), frame.get("call")
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            error = CallError('Every call needs an "id", a whole number from 0 on.', param="id")
            self.channel.send({"id": None, **error_frame(error)})
            return
        if kind == "cancel":
            self._cancel(number)
            return
        if number in self._open:
            error = CallError(f"id {number} is in use.", param="id", status=409)
            self.channel.send({"id": number, **error_frame(error)})
            return
        self._open.add(number)
        try:
            self._begin(number, kind, frame)
        except LlmosError as error:
            self.send(number, error_frame(error))
        except STUMBLES as error:
            # A tokenizer or template stumbled over this call; the others go on.
            self.send(number, error_frame(stumbled(error)))

    def _begin(self, number: int, kind: Any, frame: dict[str, Any]) -> None:
        if kind not in _CALLS:
            known = ", ".join(_CALLS)
            raise CallError(f"{kind!r} is no call this engine knows ({known}).", param="call", status=501)
        try:
            call = _CALLS[kind].model_validate(frame)
        except ValidationError as error:
            raise _invalid(error) from error
        if not isinstance(call, Generate):
            if self.jobs is None:
                raise CallError(f"This engine does not answer {kind}.", code="task_not_supported", status=501)
            self._running.append(_Running(number, self.jobs.begin(call)))
        elif self.generating is None:
            raise CallError(
                "This model writes no text. It can be asked for: "
                f"{', '.join(self.jobs.tasks if self.jobs else ()) or 'nothing'}.",
                code="task_not_supported",
                param="model",
            )
        else:
            self.generating.take(number, call)

    def _cancel(self, number: int) -> None:
        self._open.discard(number)
        for running in [one for one in self._running if one.number == number]:
            self._running.remove(running)
            running.job.close()
        if self.generating is not None:
            self.generating.cancel(number)

    # Work

    def _step(self, generating: Generating) -> None:
        try:
            generating.step()
        except STUMBLES as error:
            # torch raises these for whatever goes wrong in a forward; the others must go on.
            generating.fail_all(stumbled(error))

    def _advance(self, running: _Running) -> None:
        """A piece of the first job; then it is the next one's turn."""
        try:
            next(running.job)
            self._running.rotate(-1)
            return
        except StopIteration as end:
            frame = {"event": "result", "result": end.value}
        except LlmosError as error:
            frame = error_frame(error)
        except STUMBLES as error:
            frame = error_frame(stumbled(error))
        self._running.remove(running)
        self.send(running.number, frame)

    # What is told

    def _load(self) -> dict[str, int]:
        found = self.generating.load() if self.generating is not None else {}
        found = {"running": 0, "waiting": 0, "free_tokens": 0, **found}
        found["running"] += min(len(self._running), 1)
        found["waiting"] += max(len(self._running) - 1, 0)
        return found

    def _tell_load(self) -> None:
        now = time.monotonic()
        if now - self._told_at < _LOAD_EVERY_S:
            return
        load = self._load()
        if load != self._told:
            self._told, self._told_at = load, now
            self.channel.send({"event": "load", **load})


def _invalid(error: ValidationError) -> CallError:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return CallError(f"{place}: {first['msg']}.", param=place)
