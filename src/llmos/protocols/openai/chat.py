"""`/v1/chat/completions`: messages in, one or several answers out, whole or token by token."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any

import orjson

from llmos.core.errors import LlmosError
from llmos.features.endpoints.calls import Served
from llmos.protocols.openai.calls import Answer, Choice, fingerprint, usage_json
from llmos.protocols.openai.errors import error_event, refuse
from llmos.protocols.openai.fields import Fields
from llmos.protocols.openai.logprobs import chat_logprobs
from llmos.protocols.openai.messages import read_messages, read_tools
from llmos.protocols.openai.sampling import MAX_TOKENS, response_format, sampling
from llmos.wire.serving import MAX_TOP_LOGPROBS

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, understood. `top` is how many alternatives are told of each token; None: no logprobs."""

    model: str
    call: dict[str, Any]
    is_stream: bool
    with_usage: bool
    top: int | None

    @property
    def choices(self) -> int:
        return int(self.call.get("n", 1))


def read_chat(data: dict[str, Any], model: str | None = None) -> Asked:
    """A body as a call; `model` is what the address names, which counts more. BadRequest."""
    body = Fields(data)
    name = model or body.needed_text("model", 400)
    call: dict[str, Any] = {"call": "generate", "messages": read_messages(body)}
    call |= read_tools(body)
    call |= sampling(body)
    for old, new in (("functions", "tools"), ("function_call", "tool_choice")):
        if body.get(old) is not None:
            refuse(old, f"this field is no longer part of the API; use {new}.", "unsupported_parameter")
    _check_modalities(body)
    most = body.integer("max_completion_tokens", 1, MAX_TOKENS)
    if most is None:
        most = body.integer("max_tokens", 1, MAX_TOKENS)
    if most is not None:
        call["max_tokens"] = most
    grammar = response_format(body)
    if grammar is not None:
        call["grammar"] = grammar
    if body.flag("continue_final_message"):
        call["continue_final_message"] = True
    arguments = body.object("chat_template_kwargs")
    if arguments:
        call["chat_template_kwargs"] = arguments
    top = _top_logprobs(body)
    if top is not None:
        call["logprobs"] = top
    return Asked(name, call, body.flag("stream"), wants_usage(body), top)


def _check_modalities(body: Fields) -> None:
    kinds = body.items("modalities", 16) or ["text"]
    if any(kind != "text" for kind in kinds):
        refuse("modalities", "only text is written here.", "unsupported_value")


def _top_logprobs(body: Fields) -> int | None:
    top = body.integer("top_logprobs", 0, MAX_TOP_LOGPROBS)
    if not body.flag("logprobs"):
        if top:
            refuse("top_logprobs", "this needs logprobs to be true.")
        return None
    return top or 0


def wants_usage(body: Fields) -> bool:
    """`stream_options.include_usage`."""
    options = body.object("stream_options")
    if not options:
        return False
    if not body.flag("stream"):
        refuse("stream_options", "this is only for streams: set stream to true, or leave it out.")
    return Fields(options, "stream_options.").flag("include_usage")


def chat_json(asked: Asked, answer: Answer) -> dict[str, Any]:
    """The whole answer, as `chat.completion`."""
    return {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": asked.model,
        "system_fingerprint": fingerprint(answer.served),
        "choices": [_choice_json(asked, number, choice) for number, choice in sorted(answer.choices.items())],
        "usage": usage_json(answer.usage),
    }


def _choice_json(asked: Asked, number: int, choice: Choice) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None}
    if choice.tool_calls:
        # Only in streams do calls carry their number.
        calls = [{name: call[name] for name in call if name != "index"} for call in choice.tool_calls]
        message |= {"content": choice.text or None, "tool_calls": calls}
    return {
        "index": number,
        "message": message,
        "logprobs": None if asked.top is None else chat_logprobs(choice.tokens, asked.top),
        "finish_reason": choice.reason,
    }


class ChatWriter:
    """Frames as `chat.completion.chunk` events: what stays the same is put together once."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._id = f"chatcmpl-{secrets.token_hex(12)}"
        self._head = self._tail = b""
        self._known: set[int] = set()

    def begin(self, served: Served | None) -> bytes:
        head = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": self._asked.model,
            "system_fingerprint": fingerprint(served),
        }
        self._head = b"data: " + orjson.dumps(head)[:-1]
        self._tail = b',"usage":null}\n\n' if self._asked.with_usage else b"}\n\n"
        return b"".join(self._role(number) for number in range(self._asked.choices))

    def _role(self, index: int) -> bytes:
        self._known.add(index)
        return self._chunk(index, b'{"role":"assistant","content":"","refusal":null}')

    def _chunk(self, index: int, delta: bytes, logprobs: bytes = b"null", reason: bytes = b"null") -> bytes:
        return b'%s,"choices":[{"index":%d,"delta":%s,"logprobs":%s,"finish_reason":%s}]%s' % (
            self._head, index, delta, logprobs, reason, self._tail,
        )  # fmt: skip

    def frame(self, frame: dict[str, Any]) -> bytes:
        event = frame["event"]
        if event == "delta":
            return self._delta(frame)
        if event == "finish":
            return self._finish(frame)
        if event == "done":
            return self._usage(frame) + DONE
        return b""

    def _delta(self, frame: dict[str, Any]) -> bytes:
        index, text, tokens = frame.get("index", 0), frame.get("text", ""), frame.get("tokens")
        if self._asked.top is not None and tokens:
            logprobs = orjson.dumps(chat_logprobs(tokens, self._asked.top))
        elif text:
            logprobs = b"null"
        else:
            return b""
        return self._chunk(index, b'{"content":%s}' % orjson.dumps(text), logprobs)

    def _finish(self, frame: dict[str, Any]) -> bytes:
        index, out = frame.get("index", 0), b""
        calls = frame.get("tool_calls")
        if calls:
            told = [{"index": number, **call} for number, call in enumerate(calls)]
            out = self._chunk(index, b'{"tool_calls":%s}' % orjson.dumps(told))
        reason = orjson.dumps(frame.get("reason") or "stop")
        return out + self._chunk(index, b"{}", b"null", reason)

    def _usage(self, frame: dict[str, Any]) -> bytes:
        if not self._asked.with_usage:
            return b""
        return b'%s,"choices":[],"usage":%s}\n\n' % (self._head, orjson.dumps(usage_json(frame)))

    def error(self, error: LlmosError) -> bytes:
        return error_event(error) + DONE
