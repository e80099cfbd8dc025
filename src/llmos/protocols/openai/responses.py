"""`/v1/responses`: items in, items out. Nothing is stored: every request brings all it needs."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from llmos.protocols.openai.calls import Answer, fingerprint
from llmos.protocols.openai.errors import refuse
from llmos.protocols.openai.fields import Fields
from llmos.protocols.openai.logprobs import chat_logprobs
from llmos.protocols.openai.messages import MAX_MESSAGES, content_text, read_message, read_tools
from llmos.protocols.openai.sampling import MAX_TOKENS, response_format, sampling
from llmos.wire.serving import MAX_TOP_LOGPROBS

_STORED = {
    "previous_response_id": "responses are not stored here; send the earlier items in input.",
    "conversation": "conversations are not stored here; send the earlier items in input.",
    "prompt": "prompts are not stored here; send the text in instructions and input.",
}
_ECHOED = ("instructions", "metadata", "user", "reasoning", "safety_identifier", "prompt_cache_key")
_LOGPROBS = "message.output_text.logprobs"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, understood; `echo` are its fields that the answer repeats."""

    model: str
    call: dict[str, Any]
    is_stream: bool
    top: int | None
    echo: dict[str, Any] = field(default_factory=dict)
    response_id: str = field(default_factory=lambda: f"resp_{secrets.token_hex(12)}")
    created_at: int = field(default_factory=lambda: int(time.time()))


def read_response(data: dict[str, Any], model: str | None = None) -> Asked:
    """A body as a call. BadRequest, also for what only a store could answer."""
    body = Fields(data)
    name = model or body.needed_text("model", 400)
    for stored, message in _STORED.items():
        if body.get(stored) is not None:
            refuse(stored, message, "unsupported_parameter")
    if body.flag("background"):
        refuse("background", "answers are not kept for later; ask for a stream.", "unsupported_parameter")
    instructions = body.text("instructions")
    messages = [{"role": "system", "content": instructions}] if instructions else []
    call: dict[str, Any] = {"call": "generate", "messages": messages + _input(body)}
    call |= read_tools(body) | sampling(body)
    call.pop("n", None)
    most = body.integer("max_output_tokens", 1, MAX_TOKENS)
    if most is not None:
        call["max_tokens"] = most
    text = Fields(body.object("text") or {}, "text.")
    grammar = response_format(text, "format")
    if grammar is not None:
        call["grammar"] = grammar
    top = _top_logprobs(body)
    if top is not None:
        call["logprobs"] = top
    return Asked(name, call, body.flag("stream"), top, _echo(body, call))


def _top_logprobs(body: Fields) -> int | None:
    top = body.integer("top_logprobs", 0, MAX_TOP_LOGPROBS)
    wanted = _LOGPROBS in body.texts("include", 64)
    return top or 0 if wanted or top else None


def _echo(body: Fields, call: dict[str, Any]) -> dict[str, Any]:
    body.object("metadata")
    found = {name: body.get(name) for name in _ECHOED if body.get(name) is not None}
    return {
        "instructions": None,
        "metadata": {},
        "tools": body.get("tools") or [],
        "tool_choice": body.get("tool_choice") or "auto",
        "parallel_tool_calls": True,
        "temperature": call.get("temperature", 1.0),
        "top_p": call.get("top_p", 1.0),
        "max_output_tokens": call.get("max_tokens"),
        "text": body.get("text") or {"format": {"type": "text"}},
        "truncation": "disabled",
        # Whatever was asked: what is not kept cannot be fetched.
        "store": False,
        "background": False,
        "previous_response_id": None,
        **found,
    }


def _input(body: Fields) -> list[dict[str, Any]]:
    given = body.get("input")
    if isinstance(given, str):
        if not given:
            refuse("input", "the text is empty.")
        return [{"role": "user", "content": given}]
    items = body.items("input", MAX_MESSAGES)
    if not items:
        refuse(
            "input",
            "this field is missing; it must be a text or a list of items.",
            "missing_required_parameter",
        )
    messages: list[dict[str, Any]] = []
    for number, item in enumerate(items):
        if not isinstance(item, dict):
            refuse(f"input[{number}]", "an item must be an object.", "invalid_type")
        _add_item(messages, item, Fields(item, f"input[{number}]."))
    if not messages:
        refuse("input", "it holds no message.")
    return messages


def _add_item(messages: list[dict[str, Any]], item: dict[str, Any], fields: Fields) -> None:
    kind = fields.text("type", "message", 100)
    if kind == "message":
        messages.append(read_message(item, fields.place.removesuffix(".")))
    elif kind == "function_call":
        function = {"name": fields.needed_text("name", 128), "arguments": fields.text("arguments", "")}
        call = {"id": fields.text("call_id", "", 200), "type": "function", "function": function}
        if messages and messages[-1].get("tool_calls"):
            messages[-1]["tool_calls"].append(call)
        else:
            messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
    elif kind == "function_call_output":
        said = content_text(fields, "output")
        messages.append(
            {"role": "tool", "tool_call_id": fields.text("call_id", "", 200), "content": said or ""}
        )
    elif kind != "reasoning":
        refuse(f"{fields.place}type", f"{kind!r} cannot be read here: messages and function calls can.")


def message_item(item_id: str, text: str, logprobs: list[Any], status: str) -> dict[str, Any]:
    content = [text_part(text, logprobs)] if status != "in_progress" else []
    return {"id": item_id, "type": "message", "role": "assistant", "status": status, "content": content}


def text_part(text: str, logprobs: list[Any]) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def call_item(call: dict[str, Any], status: str = "completed") -> dict[str, Any]:
    """A tool call as an item of its own."""
    function = call.get("function") or {}
    return {
        "id": f"fc_{secrets.token_hex(12)}",
        "type": "function_call",
        "status": status,
        "call_id": call.get("id") or f"call_{secrets.token_hex(8)}",
        "name": function.get("name", ""),
        "arguments": function.get("arguments", ""),
    }


def response_json(asked: Asked, output: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """The `response` object; `more` are its status and what else is known."""
    return {
        "id": asked.response_id,
        "object": "response",
        "created_at": asked.created_at,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": asked.model,
        "output": output,
        "usage": None,
        **asked.echo,
        **more,
    }


def ending(reason: str) -> dict[str, Any]:
    """Status and details of a response that ended for this reason."""
    if reason == "length":
        return {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    return {"status": "completed"}


def usage_of(usage: dict[str, Any]) -> dict[str, Any]:
    read, written = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": usage.get("cached_tokens") or 0, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + written,
    }


def logprobs_of(tokens: list[dict[str, Any]], top: int | None) -> list[Any]:
    return [] if top is None else list(chat_logprobs(tokens, top)["content"])


def whole_response(asked: Asked, answer: Answer) -> dict[str, Any]:
    """The answer to a request that is no stream."""
    choice = answer.choices[0]
    end = ending(choice.reason)
    output = [call_item(call) for call in choice.tool_calls]
    if choice.text or not output:
        item_id = f"msg_{secrets.token_hex(12)}"
        said = logprobs_of(choice.tokens, asked.top)
        output.insert(0, message_item(item_id, choice.text, said, end["status"]))
    more = {"usage": usage_of(answer.usage), "system_fingerprint": fingerprint(answer.served)}
    return response_json(asked, output, **end, **more)
