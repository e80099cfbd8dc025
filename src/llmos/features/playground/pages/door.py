"""Where the page's scripts ask models: an answer of lines of JSON, one frame a line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import orjson
from fastapi import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from llmos.core.errors import BadRequest, LlmosError
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import PageForm, request_locale
from llmos.features.endpoints.calls import Served
from llmos.features.playground.asking import Generation, render_answer, start_generation
from llmos.features.playground.schemas import Talk, read_talk
from llmos.infra.i18n import Locale, lazy, localize
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import RuntimeDep
from llmos.infra.web.forms import Form

# Proxies close connections on which nothing has come for a minute.
KEEP_ALIVE_S = 15.0


async def post_ask(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    """Let the model of `column` answer the last turn of `talk`, as it writes.

    Lines are the frames of `wire.serving` with those of waiting, first of all `served` (model and
    revision), and at the end of a chat `rendered` with the whole answer as HTML. A refusal before the
    first line is `{"error", "code"}` with its status.
    """
    locale = request_locale(request, actor)
    try:
        talk, column = read_ask(form)
        return await stream_talk(rt, actor, talk, column, locale)
    except LlmosError as refusal:
        return refuse(refusal, locale)


def read_ask(form: Form) -> tuple[Talk, int]:
    """The conversation of a form, and which of its models is asked."""
    talk = read_talk(form.text("talk", strip=False))
    column = form.text("column", "0")
    if column not in ("0", "1") or int(column) >= len(talk.models):
        raise BadRequest(lazy("column must be the place of one of the models."))
    return talk, int(column)


async def stream_talk(rt: Runtime, actor: Actor, talk: Talk, column: int, locale: Locale) -> Response:
    """The answer of one model as it comes. Raises what refuses the call."""
    asked = await start_generation(rt, actor, talk, column)
    return FrameStream(_with_html(asked, talk.mode == "chat"))


async def _with_html(asked: Generation, is_chat: bool) -> AsyncGenerator[dict[str, Any], None]:
    """The frames of a generation, with what answers before the first and the rendered text after the last."""
    parts: list[str] = []
    has_said = False
    async with aclosing(asked.frames()) as frames:
        async for frame in frames:
            if not has_said and asked.served is not None:
                has_said = True
                yield served_frame(asked.served)
            kind = frame["event"]
            if kind == "delta":
                parts.append(frame["text"])
            elif kind == "done" and is_chat:
                yield {"event": "rendered", "html": await asyncio.to_thread(_html, "".join(parts))}
            yield frame


def _html(text: str) -> str:
    return render_answer(text).html


def served_frame(served: Served) -> dict[str, Any]:
    facts = served.facts
    known = ("engine", "device", "dtype", "parameters", "context_tokens", "has_chat_template")
    return {
        "event": "served",
        "model": served.repo_name,
        "revision": served.revision,
        "facts": {name: facts[name] for name in known if name in facts},
    }


def refuse(refusal: LlmosError, locale: Locale) -> Response:
    """A refusal for a script, in the reader's language."""
    body = {"error": localize(refusal.message, locale), "code": refusal.code}
    headers = {"Cache-Control": "no-store"}
    retry_after_s = refusal.data.get("retry_after_s")
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
        body["retry_after_s"] = retry_after_s
    return Response(orjson.dumps(body), refusal.status, headers, media_type="application/json")


class FrameStream(Response):
    """Frames as lines of JSON; the source is closed as soon as the reader has gone."""

    def __init__(self, frames: AsyncGenerator[dict[str, Any], None]) -> None:
        self._frames = frames
        super().__init__(
            media_type="application/x-ndjson",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone: asyncio.Future[Any] = asyncio.ensure_future(_wait_for_end(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with aclosing(self._frames) as frames:
                await self._pass_on(frames, gone, send)
        finally:
            gone.cancel()

    async def _pass_on(
        self, frames: AsyncGenerator[dict[str, Any], None], gone: asyncio.Future[Any], send: Send
    ) -> None:
        while True:
            coming: asyncio.Future[Any] = asyncio.ensure_future(anext(frames, None))
            while not coming.done():
                await asyncio.wait({coming, gone}, timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    coming.cancel()
                    await asyncio.wait({coming})
                    return
                if not coming.done():
                    await send({"type": "http.response.body", "body": b"\n", "more_body": True})
            frame = coming.result()
            line = b"" if frame is None else orjson.dumps(frame) + b"\n"
            await send({"type": "http.response.body", "body": line, "more_body": frame is not None})
            if frame is None:
                return


async def _wait_for_end(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
