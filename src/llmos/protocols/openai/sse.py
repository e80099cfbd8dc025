"""Server-sent events of a call, written as raw ASGI messages.

The answer begins with the first token, so that a refusal before it still has its own status; or after
`BEGIN_S`, from when on comments keep the connection alive while the engine starts.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from llmos.core.errors import LlmosError
from llmos.features.endpoints.calls import Served
from llmos.infra.web.bodies import wait_disconnect
from llmos.protocols.openai.calls import AnyCall, served_headers
from llmos.protocols.openai.errors import refusal_of

BEGIN_S = 8.0
PING_S = 10.0
_SILENT = frozenset(("waiting", "start"))
_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # Proxies that collect bytes would turn a stream into one answer.
    (b"x-accel-buffering", b"no"),
)


class Writer(Protocol):
    """Frames into the bytes of events; empty where a frame says nothing to the client."""

    def begin(self, served: Served | None) -> bytes: ...
    def frame(self, frame: dict[str, Any]) -> bytes: ...
    def error(self, error: LlmosError) -> bytes: ...


class EventAnswer(Response):
    """Streams a call until it ends or the client goes; the call is ended then in any case."""

    def __init__(self, stream: AnyCall, writer: Writer) -> None:
        self.status_code = 200
        self.background = None
        self._stream, self._writer = stream, writer
        self._has_begun = self._has_said = False
        self._waiting = b": waiting\n\n"
        self._lock = asyncio.Lock()  # a comment must not come into the middle of an event

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pump = asyncio.ensure_future(self._pump(send))
        gone = asyncio.ensure_future(wait_disconnect(receive))
        begun_s = time.monotonic()
        try:
            while not pump.done() and not gone.done():
                left_s = PING_S if self._has_begun else max(0.05, BEGIN_S - (time.monotonic() - begun_s))
                done, _ = await asyncio.wait(
                    {pump, gone}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    await self._comment(send)
            if pump.done():
                pump.result()
        finally:
            pump.cancel()
            gone.cancel()
            await asyncio.gather(pump, gone, return_exceptions=True)
            await self._stream.aclose()

    async def _comment(self, send: Send) -> None:
        async with self._lock:
            if not self._has_begun:
                await self._begin(send)
            await send({"type": "http.response.body", "body": self._waiting, "more_body": True})

    async def _begin(self, send: Send) -> None:
        self._has_begun = True
        named = served_headers(self._stream.served).items()
        headers = [(name.lower().encode(), value.encode()) for name, value in named]
        await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS, *headers]})

    async def _pump(self, send: Send) -> None:
        try:
            while frames := await self._stream.batch():
                await self._pass_on(send, frames)
        except LlmosError as error:
            if not self._has_begun:
                raise
            await self._say(send, [], self._writer.error(error))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pass_on(self, send: Send, frames: list[dict[str, Any]]) -> None:
        """Whatever came at once leaves at once."""
        if frames[-1]["event"] == "waiting":
            stage = str(frames[-1].get("stage", "")).encode("ascii", "replace")[:40]
            place = frames[-1].get("position")
            self._waiting = b": waiting: %s%s\n\n" % (stage, b" %d" % place if place else b"")
        told = [frame for frame in frames if frame["event"] not in _SILENT]
        for number, frame in enumerate(told):
            if frame["event"] == "error":
                if number:
                    await self._say(send, told[:number])
                raise refusal_of(frame)
        if told:
            await self._say(send, told)

    async def _say(self, send: Send, frames: list[dict[str, Any]], end: bytes = b"") -> None:
        async with self._lock:
            if not self._has_begun:
                await self._begin(send)
            data = b""
            if not self._has_said:
                self._has_said = True
                data = self._writer.begin(self._stream.served)
            data = b"".join((data, *map(self._writer.frame, frames), end))
            if data:
                await send({"type": "http.response.body", "body": data, "more_body": True})
