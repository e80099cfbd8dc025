"""Between frames and OpenAI's API: requests one way, chunks of a stream the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmos.lab.serve.errors import CallError
from llmos.wire.serving import Generate

Frame = dict[str, Any]
_PLAIN = ("n", "temperature", "top_p", "frequency_penalty", "presence_penalty", "seed", "logit_bias")
# Not of OpenAI's API; those who do not know them leave them unread.
_MORE = ("top_k", "min_p", "repetition_penalty", "min_tokens", "ignore_eos")


def request_of(call: Generate) -> tuple[str, Frame]:
    """Path and body. Raises CallError for what no other API offers."""
    body: Frame = {name: getattr(call, name) for name in _PLAIN}
    usual = Generate.model_fields
    body |= {name: v for name in _MORE if (v := getattr(call, name)) != usual[name].default}
    body = {name: value for name, value in body.items() if value not in (None, {})}
    if call.max_tokens is not None:
        body["max_tokens"] = call.max_tokens
    if call.stop:
        body["stop"] = call.stop
    if call.grammar is not None:
        body |= _grammar(call)
    if call.messages is None:
        body |= {"prompt": call.prompt, "echo": call.echo}
        if call.logprobs is not None:
            body["logprobs"] = call.logprobs
        # The prompt's tokens are told apart by their places, which streams leave out.
        body["stream"] = not call.echo
        return "/v1/completions", body
    body |= {"messages": call.messages, "stream": True}
    if call.tools:
        body |= {"tools": call.tools, "tool_choice": call.tool_choice}
    if call.logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": call.logprobs}
    return "/v1/chat/completions", body


def _grammar(call: Generate) -> Frame:
    grammar = call.grammar
    assert grammar is not None
    if grammar.kind == "json_object":
        return {"response_format": {"type": "json_object"}}
    if grammar.kind == "json_schema":
        schema = {"name": "answer", "schema": grammar.json_schema, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    return {"structured_outputs": {"regex": grammar.regex}}


class Translator:
    """Turns the chunks of one answer into frames."""

    def __init__(self, call: Generate) -> None:
        self._call = call
        self._tools: dict[int, dict[int, Frame]] = {}
        self._made = 0
        self._usage: Frame = {}
        self._is_begun = False

    def push(self, chunk: Frame) -> Iterator[Frame]:
        self._usage = chunk.get("usage") or self._usage
        if not self._is_begun:
            self._is_begun = True
            yield {"event": "start", "prompt_tokens": self._usage.get("prompt_tokens", 0)}
        for choice in chunk.get("choices") or ():
            yield from self._choice(choice)

    def end(self) -> Frame:
        details = self._usage.get("prompt_tokens_details") or {}
        return {
            "event": "done",
            "prompt_tokens": self._usage.get("prompt_tokens", 0),
            "completion_tokens": self._usage.get("completion_tokens", self._made),
            "cached_tokens": details.get("cached_tokens") or 0,
        }

    def _choice(self, choice: Frame) -> Iterator[Frame]:
        index = int(choice.get("index") or 0)
        delta = choice.get("delta") or choice.get("message") or {}
        text = choice.get("text") if "text" in choice else delta.get("content")
        tokens, text = self._tokens(choice, text or "")
        if tokens and tokens[0]["_is_prompt"]:
            prompt = [token for token in tokens if token["_is_prompt"]]
            yield {"event": "prompt", "tokens": [_told(token) for token in prompt]}
            tokens = tokens[len(prompt) :]
        self._collect(index, delta.get("tool_calls") or ())
        if text or tokens:
            self._made += len(tokens) or 1
            frame: Frame = {"event": "delta", "index": index, "text": text, "count": len(tokens) or 1}
            if self._call.logprobs is not None:
                frame["tokens"] = [_told(token) for token in tokens]
            yield frame
        if choice.get("finish_reason"):
            reason = {"tool_calls": "tool_calls", "length": "length"}.get(choice["finish_reason"], "stop")
            finish: Frame = {"event": "finish", "index": index, "reason": reason}
            if self._tools.get(index):
                finish["tool_calls"] = list(self._tools[index].values())
            yield finish

    def _tokens(self, choice: Frame, text: str) -> tuple[list[Frame], str]:
        """The tokens of a chunk, and its text without an echoed prompt."""
        logprobs = choice.get("logprobs") or {}
        length = len(self._call.prompt) if self._call.echo and isinstance(self._call.prompt, str) else 0
        found = [
            {**one, "_is_prompt": False, "top": one.get("top_logprobs") or []}
            for one in logprobs.get("content") or ()
        ]
        offsets = logprobs.get("text_offset") or []
        for number, token in enumerate(logprobs.get("tokens") or ()):
            top = (logprobs.get("top_logprobs") or [None] * (number + 1))[number] or {}
            place = offsets[number] if number < len(offsets) else 0
            found.append(
                {
                    "token": token,
                    "logprob": logprobs["token_logprobs"][number],
                    "top": [{"token": name, "logprob": value} for name, value in top.items()],
                    "_is_prompt": place < length,
                }
            )
        return found, text[length:]

    def _collect(self, index: int, parts: Any) -> None:
        """Calls of tools come in pieces."""
        known = self._tools.setdefault(index, {})
        for part in parts:
            number = int(part.get("index") or 0)
            call = known.setdefault(
                number, {"index": number, "type": "function", "function": {"name": "", "arguments": ""}}
            )
            function = part.get("function") or {}
            call["id"] = part.get("id") or call.get("id")
            for name in ("name", "arguments"):
                call["function"][name] += function.get(name) or ""


def _told(token: Frame) -> Frame:
    """Ids and entropy are not told by this API."""
    text = token.get("token") or ""
    return {
        "id": -1,
        "text": text,
        "bytes": token.get("bytes") or list(text.encode()),
        "logprob": token.get("logprob"),
        "top": [
            {"id": -1, "text": x["token"], "bytes": list(x["token"].encode()), "logprob": x["logprob"]}
            for x in token.get("top", ())
        ],
        "entropy": 0.0,
    }


def refusal(status: int, body: Any, whose: str) -> CallError:
    """An answer of theirs that is an error, in their words."""
    error = body.get("error") if isinstance(body, dict) else None
    error = error if isinstance(error, dict) else {"message": str(body)[:300]}
    return CallError(
        str(error.get("message") or f"{whose} answered {status}."),
        code=str(error.get("code") or "upstream_error"),
        status=status if 400 <= status < 500 else 502,
        param=error.get("param"),
    )
