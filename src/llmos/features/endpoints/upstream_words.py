"""Between frames of engines and an OpenAI-compatible server: bodies to send, chunks that come back. Pure."""

from __future__ import annotations

from typing import Any

# Fields of a call that other servers know by the same name; those of neutral value are left out.
_SAME: dict[str, Any] = {
    "max_tokens": None, "temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "n": 1, "seed": None,
    "stop": [], "repetition_penalty": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0,
    "logit_bias": {}, "min_tokens": 0, "ignore_eos": False,
}  # fmt: skip
_FINISH = ("stop", "length", "tool_calls")


def to_request(call: dict[str, Any], model: str) -> tuple[str, dict[str, Any]] | None:
    """Path and body for a call; None: the other server has nothing like it."""
    kind = call.get("call", "generate")
    if kind == "embed":
        body = {"model": model, "input": call["inputs"]}
        return "/embeddings", body | ({"dimensions": call["dimensions"]} if call.get("dimensions") else {})
    if kind != "generate":
        return None
    body = {"model": model, "stream": True, "stream_options": {"include_usage": True}}
    body |= {key: call[key] for key, plain in _SAME.items() if call.get(key, plain) != plain}
    if call.get("messages") is None:
        logprobs = {} if call.get("logprobs") is None else {"logprobs": call["logprobs"]}
        return "/completions", body | logprobs | {
            "prompt": call.get("prompt"),
            "echo": bool(call.get("echo")),
        }
    if call.get("logprobs") is not None:
        body |= {"logprobs": True, "top_logprobs": call["logprobs"]}
    if call.get("tools"):
        body |= {"tools": call["tools"], "tool_choice": call.get("tool_choice", "auto")}
    grammar = call.get("grammar") or {}
    if grammar.get("kind") == "json_schema":
        schema = {"name": "answer", "schema": grammar.get("json_schema")}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif grammar.get("kind") == "json_object":
        body["response_format"] = {"type": "json_object"}
    return "/chat/completions", body | {"messages": call["messages"]}


class Chunks:
    """Turns the chunks of one streamed answer into frames."""

    def __init__(self) -> None:
        self._calls: dict[int, dict[int, dict[str, Any]]] = {}
        self._tokens = 0
        self._usage: dict[str, Any] = {}

    def take(self, chunk: dict[str, Any]) -> list[dict[str, Any]]:
        """The frames of one chunk."""
        self._usage = chunk.get("usage") or self._usage
        frames: list[dict[str, Any]] = []
        for choice in chunk.get("choices") or ():
            index, delta = int(choice.get("index") or 0), choice.get("delta") or {}
            text = delta.get("content") or choice.get("text") or ""
            self._note_tools(index, delta.get("tool_calls") or ())
            if text:
                self._tokens += 1
                frame = {"event": "delta", "index": index, "text": text, "count": 1}
                tokens = _tokens(choice.get("logprobs"))
                frames.append(frame | ({"tokens": tokens} if tokens else {}))
            if choice.get("finish_reason"):
                frames.append(self._finish(index, str(choice["finish_reason"])))
        return frames

    def _note_tools(self, index: int, parts: Any) -> None:
        for part in parts:
            known = self._calls.setdefault(index, {}).setdefault(
                int(part.get("index") or 0),
                {"id": "", "type": "function", "function": {"name": "", "arguments": ""}},
            )
            known["id"] = part.get("id") or known["id"]
            function = part.get("function") or {}
            known["function"]["name"] += function.get("name") or ""
            known["function"]["arguments"] += function.get("arguments") or ""

    def _finish(self, index: int, reason: str) -> dict[str, Any]:
        frame = {"event": "finish", "index": index, "reason": reason if reason in _FINISH else "stop"}
        calls = self._calls.get(index)
        return frame | ({"tool_calls": list(calls.values())} if calls else {})

    def last(self) -> dict[str, Any]:
        """The last frame, with what the other server says was used, else what was counted here."""
        details = self._usage.get("prompt_tokens_details") or {}
        return {
            "event": "done",
            "prompt_tokens": self._usage.get("prompt_tokens", 0),
            "completion_tokens": self._usage.get("completion_tokens", self._tokens),
            "cached_tokens": details.get("cached_tokens") or 0,
        }


def _tokens(logprobs: Any) -> list[dict[str, Any]]:
    """Tokens of a chat's chunk; the ids other servers give their tokens are not told."""
    found = logprobs.get("content") if isinstance(logprobs, dict) else None
    return [
        _token(one) | {"top": [_token(top) for top in one.get("top_logprobs") or ()]} for one in found or ()
    ]


def _token(one: dict[str, Any]) -> dict[str, Any]:
    text = one.get("token") or ""
    return {
        "id": -1,
        "text": text,
        "bytes": one.get("bytes") or list(text.encode()),
        "logprob": one.get("logprob"),
    }
