"""From what is on the page to a call of `endpoints`, and back to what the page shows."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from llmos.core.errors import BadRequest, LlmosError
from llmos.features.accounts.actor import Actor
from llmos.features.endpoints.calls import CallStream, Served, ask
from llmos.features.playground.schemas import Answer, Params, Talk
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.ui.markdown import Rendered, render_markdown

# Alternatives that come with each token, for the token view.
ALTERNATIVES = 8
WRITING = "text-generation"
_PICTURE = re.compile(r'<img(?:[^">]|"[^"]*")*>')


def generate_call(talk: Talk, column: int) -> dict[str, Any]:
    """The call by which the model of `column` answers the last turn."""
    if not talk.turns or not talk.turns[-1].text.strip():
        raise BadRequest(lazy("Write something for the model first."))
    call: dict[str, Any] = {"call": "generate", "logprobs": ALTERNATIVES, **_sampling(talk.params)}
    if talk.mode == "completion":
        return call | {"prompt": talk.turns[-1].text}
    return call | {"messages": talk.messages(column)}


def _sampling(params: Params) -> dict[str, Any]:
    return params.model_dump(exclude_none=True)


def tokenize_call(talk: Talk, column: int) -> dict[str, Any]:
    """The call for the tokens of what the model read before its last answer."""
    if talk.mode == "completion":
        return {"call": "tokenize", "text": talk.turns[-1].text}
    return {"call": "tokenize", "messages": talk.messages(column)}


class Generation:
    """An answer under way, asked for again where the model has less room than `max_tokens`.

    What people set is the most they want; a small model must not refuse for it.
    """

    def __init__(
        self, rt: Runtime, actor: Actor, model: str, call: dict[str, Any], stream: CallStream
    ) -> None:
        self._again = (rt, actor, model, call)
        self._stream = stream

    @property
    def served(self) -> Served | None:
        return self._stream.served

    async def frames(self) -> AsyncGenerator[dict[str, Any], None]:
        """As `frames_of`."""
        room = 0
        async with aclosing(frames_of(self._stream)) as frames:
            async for frame in frames:
                room = _room(frame)
                if room:
                    break
                yield frame
        if not room:
            return
        rt, actor, model, call = self._again
        try:
            self._stream = await ask(rt, actor, model, call | {"max_tokens": room}, task=WRITING)
        except LlmosError as refusal:
            yield {
                "event": "error",
                "status": refusal.status,
                "code": refusal.code,
                "message": refusal.message,
            }
            return
        async with aclosing(frames_of(self._stream)) as frames:
            async for frame in frames:
                yield frame


def _room(frame: dict[str, Any]) -> int:
    """How many tokens there is room for, where only `max_tokens` was too much; else 0."""
    if frame["event"] != "error" or frame.get("param") != "max_tokens":
        return 0
    data = frame.get("data") or {}
    return max(0, int(data.get("context_tokens", 0)) - int(data.get("prompt_tokens", 0)))


async def start_generation(rt: Runtime, actor: Actor, talk: Talk, column: int) -> Generation:
    """Let the model of `column` answer the last turn. Raises what refuses the call before it began."""
    model, call = talk.models[column], generate_call(talk, column)
    return Generation(rt, actor, model, call, await ask(rt, actor, model, call, task=WRITING))


async def answer_of(rt: Runtime, actor: Actor, talk: Talk, column: int) -> Answer:
    """The whole answer at once, for pages without script. Raises what the engine refuses."""
    asked = await start_generation(rt, actor, talk, column)
    answer = Answer()
    began = time.monotonic()
    first = 0.0
    async with aclosing(asked.frames()) as frames:
        async for frame in frames:
            kind = frame["event"]
            if kind == "delta":
                first = first or time.monotonic()
                answer.text += frame["text"]
            elif kind == "finish":
                answer.reason = frame["reason"]
            elif kind == "done":
                answer.tokens = frame["completion_tokens"]
                answer.prompt_tokens = frame["prompt_tokens"]
            elif kind == "error":
                raise refusal_of(frame)
    took = time.monotonic() - first if first else 0.0
    answer.first_s = round(first - began, 3) if first else 0.0
    answer.rate = round((answer.tokens - 1) / took, 1) if took > 0 and answer.tokens > 1 else 0.0
    answer.revision = asked.served.revision if asked.served else ""
    return answer


async def result_of(
    rt: Runtime, actor: Actor, model: str, call: dict[str, Any], task: str | None = None
) -> Any:
    """What a call with one answer (a task, embeddings, tokens) results in; raises its error."""
    stream = await ask(rt, actor, model, call, task=task)
    async with aclosing(frames_of(stream)) as frames:
        async for frame in frames:
            if frame["event"] == "result":
                return frame["result"]
            if frame["event"] == "error":
                raise refusal_of(frame)
    raise LlmosError(lazy("The engine ended without an answer: try again."), code="engine_lost", status=503)


async def frames_of(stream: CallStream) -> AsyncGenerator[dict[str, Any], None]:
    """The frames of a call; the engine stops as soon as nobody wants more."""
    try:
        async for frame in stream:
            yield frame
    finally:
        await stream.aclose()


def refusal_of(frame: dict[str, Any]) -> LlmosError:
    """An `error` frame as a refusal."""
    return LlmosError(
        str(frame.get("message") or ""),
        code=str(frame.get("code") or "engine_error"),
        status=int(frame.get("status") or 500),
        data=frame.get("data") or {},
    )


def render_answer(text: str) -> Rendered:
    """The Markdown of an answer as safe HTML, without pictures: the address of one can carry away what
    was said, and the words of a model are not the reader's own wish to load it."""
    rendered = render_markdown(text, heading_ids=False)
    return replace(rendered, html=_PICTURE.sub("", rendered.html))
