"""Calls under way: several as one, and the whole of one put together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import ClientDisconnect, Request

from llmos.core.errors import LlmosError
from llmos.features.accounts.actor import Actor
from llmos.features.endpoints.calls import CallStream, Served, ask
from llmos.infra.runtime import Runtime
from llmos.infra.web.bodies import wait_disconnect
from llmos.protocols.openai.errors import refusal_of

# How many calls of one request are with the engine at once: the rest waits here, not in its queue.
AT_ONCE = 32


class ManyCalls:
    """The calls of one request that names several prompts, as if they were one call.

    Choice `index` of call k becomes `k * n + index`; the usage of all is added up in one `done`.
    """

    def __init__(
        self,
        rt: Runtime,
        actor: Actor,
        model: str,
        calls: Sequence[dict[str, Any]],
        *,
        choices: int,
        first: CallStream,
    ) -> None:
        self.served: Served | None = None
        self._where = (rt, actor, model)
        self._calls, self._choices, self._first = calls, choices, first
        self._frames: asyncio.Queue[dict[str, Any] | LlmosError | None] = asyncio.Queue()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._usage: dict[str, int] = {"prompt_tokens": 0, "completion_tokens": 0, "cached_tokens": 0}
        self._left = len(calls)
        self._tasks: list[asyncio.Task[None]] = []
        self._is_over = False

    async def batch(self) -> list[dict[str, Any]]:
        """All frames there are, at least one; none after `done`. Raises what one was refused with."""
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._follow(number)) for number in range(len(self._calls))]
        frames: list[dict[str, Any]] = []
        while not self._is_over and (not frames or not self._frames.empty()):
            frame = await self._frames.get()
            if isinstance(frame, LlmosError):
                raise frame
            self._is_over = frame is None
            frames.append({"event": "done", **self._usage} if frame is None else frame)
        return frames

    async def _follow(self, number: int) -> None:
        refusal: LlmosError | None = LlmosError("One of the prompts was not answered.")
        try:
            async with self._slots:
                stream = self._first if number == 0 else await ask(*self._where, self._calls[number])
                try:
                    await self._pass_on(stream, number * self._choices)
                finally:
                    await stream.aclose()
            refusal = None
        except LlmosError as error:
            refusal = error
        finally:
            self._left -= 1
            if refusal is not None or not self._left:
                self._frames.put_nowait(refusal)

    async def _pass_on(self, stream: CallStream, base: int) -> None:
        async for frame in stream:
            event = frame["event"]
            if self.served is None:
                self.served = stream.served
            if event == "done":
                for name in self._usage:
                    self._usage[name] += frame.get(name) or 0
            elif event == "error":
                raise refusal_of(frame)
            elif event != "waiting" or base == 0:
                self._frames.put_nowait(frame | {"index": base + frame.get("index", 0)})

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._first.aclose()


AnyCall = CallStream | ManyCalls


@dataclass(slots=True)
class Choice:
    """One answer, as far as it has come."""

    texts: list[str] = field(default_factory=list)
    tokens: list[dict[str, Any]] = field(default_factory=list)
    reason: str = "length"
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    prompt: list[dict[str, Any]] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.texts)


@dataclass(slots=True)
class Answer:
    """All of a call. `result` is what calls that write nothing answer."""

    choices: dict[int, Choice] = field(default_factory=dict)
    usage: dict[str, int] = field(default_factory=dict)
    result: Any = None
    served: Served | None = None


async def collect(stream: AnyCall, choices: int = 1) -> Answer:
    """Wait for the whole answer of a call. Raises what its `error` frame says; ends the call at any rate."""
    answer = Answer(choices={number: Choice() for number in range(choices)})
    try:
        while frames := await stream.batch():
            for frame in frames:
                _take(answer, frame)
    finally:
        await stream.aclose()
    answer.served = stream.served
    return answer


async def collect_for(request: Request, stream: AnyCall, choices: int = 1) -> Answer:
    """`collect` while the client waits: ClientDisconnect, and the end of the call, when it goes."""
    whole = asyncio.ensure_future(collect(stream, choices))
    gone = asyncio.ensure_future(wait_disconnect(request.receive))
    try:
        await asyncio.wait({whole, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not whole.done():
            raise ClientDisconnect
        return whole.result()
    finally:
        whole.cancel()
        gone.cancel()
        await asyncio.gather(whole, gone, return_exceptions=True)


def _take(answer: Answer, frame: dict[str, Any]) -> None:
    event = frame["event"]
    if event == "delta":
        choice = answer.choices.setdefault(frame.get("index", 0), Choice())
        choice.texts.append(frame.get("text", ""))
        choice.tokens += frame.get("tokens") or ()
    elif event == "finish":
        choice = answer.choices.setdefault(frame.get("index", 0), Choice())
        choice.reason = frame.get("reason") or "stop"
        choice.tool_calls = frame.get("tool_calls") or []
    elif event == "prompt":
        answer.choices.setdefault(frame.get("index", 0), Choice()).prompt += frame.get("tokens") or ()
    elif event == "done":
        answer.usage = {name: value for name, value in frame.items() if name != "event"}
    elif event == "result":
        answer.result = frame.get("result")
    elif event == "error":
        raise refusal_of(frame)


def usage_json(usage: dict[str, int]) -> dict[str, Any]:
    """Tokens read and written, as completions and chats report them."""
    read, written = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": usage.get("cached_tokens") or 0},
    }


def fingerprint(served: Served | None) -> str | None:
    """What answered: the beginning of the revision's hash."""
    return served.revision[:12] if served else None


def served_headers(served: Served | None) -> dict[str, str]:
    return {"X-LLMOS-Revision": served.revision} if served else {}
