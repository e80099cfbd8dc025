"""Text generation as the Hub's own server (TGI) takes and gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from llmos.core.errors import LlmosError
from llmos.features.endpoints.calls import Served
from llmos.protocols.inference.errors import error_body
from llmos.protocols.openai.calls import Answer, Choice
from llmos.protocols.openai.errors import refuse
from llmos.protocols.openai.fields import Fields
from llmos.protocols.openai.sampling import MAX_TOKENS, grammar_of, stops
from llmos.wire.serving import MAX_TOP_LOGPROBS

DEFAULT_TOKENS = 100  # as the Hub's own server
_REFUSED = {
    "adapter_id": "adapters are served as models of their own here; name one in the address.",
    "truncate": "prompts are not cut here; send a shorter one.",
    "typical_p": "this way to sample is not offered; use top_p or min_p.",
    "watermark": "answers are not marked here.",
}
# What makes the Hub's server draw tokens instead of taking the likeliest.
_DRAWING = ("temperature", "top_k", "top_p")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, understood."""

    call: dict[str, Any]
    is_stream: bool
    has_details: bool
    has_prefill: bool
    top: int
    prefix: str  # the prompt, where the answer is to begin with it

    @property
    def seed(self) -> int | None:
        return self.call.get("seed")


def read_generation(data: dict[str, Any]) -> Asked:
    """`{"inputs", "parameters", "stream"}` as a call. BadRequest."""
    body = Fields(data)
    prompt = body.needed_text("inputs")
    given = Fields(body.object("parameters") or {}, "parameters.")
    for name, message in _REFUSED.items():
        if given.get(name) not in (None, False):
            refuse(f"parameters.{name}", message, "unsupported_parameter")
    if (given.integer("best_of", 1, MAX_TOKENS) or 1) > 1:
        refuse("parameters.best_of", "answers are not ranked here; leave it out.")
    call: dict[str, Any] = {"call": "generate", "prompt": prompt, **_sampling(given)}
    most = given.integer("max_new_tokens", 1, MAX_TOKENS)
    call["max_tokens"] = DEFAULT_TOKENS if most is None else most
    grammar = given.object("grammar")
    if grammar is not None:
        found = grammar_of(Fields(grammar, "parameters.grammar."))
        call |= {"grammar": found} if found else {}
    is_stream, has_details = body.flag("stream"), given.flag("details")
    top = given.integer("top_n_tokens", 0, MAX_TOP_LOGPROBS) or 0
    has_prefill = has_details and given.flag("decoder_input_details") and not is_stream
    if is_stream or has_details:
        call["logprobs"] = top
    if has_prefill:
        call["echo"] = True
    prefix = prompt if given.flag("return_full_text") else ""
    return Asked(call, is_stream, has_details, has_prefill, top, prefix)


def _sampling(given: Fields) -> dict[str, Any]:
    draws = given.flag("do_sample") or any(given.get(name) is not None for name in _DRAWING)
    temperature = given.number("temperature", 0, 100)
    call = {
        "temperature": temperature if draws else 0.0,
        "top_k": given.integer("top_k", 0, MAX_TOKENS),
        "top_p": given.number("top_p", 0, 1, above=True),
        "repetition_penalty": given.number("repetition_penalty", 0.01, 100),
        "frequency_penalty": given.number("frequency_penalty", -2, 2),
        "seed": given.integer("seed"),
        "stop": stops(given) or stops(given, "stop_sequences") or None,
    }
    return {name: value for name, value in call.items() if value is not None}


def _token(token: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": token.get("id", 0),
        "text": token.get("text", ""),
        "logprob": token.get("logprob"),
        # Tokens without bytes of their own are marks of the model's.
        "special": not token.get("bytes"),
    }


def _prompt_token(token: dict[str, Any]) -> dict[str, Any]:
    return {name: token.get(name) for name in ("id", "text", "logprob")}


def _ending(asked: Asked, reason: str) -> str:
    if reason == "length":
        return "length"
    return "stop_sequence" if asked.call.get("stop") else "eos_token"


def generation_json(asked: Asked, answer: Answer) -> list[dict[str, Any]]:
    """The whole answer: a list of one."""
    choice: Choice = answer.choices[0]
    found: dict[str, Any] = {"generated_text": asked.prefix + choice.text}
    if asked.has_details:
        found["details"] = {
            "finish_reason": _ending(asked, choice.reason),
            "generated_tokens": answer.usage.get("completion_tokens") or len(choice.tokens),
            "seed": asked.seed,
            "prefill": [_prompt_token(token) for token in choice.prompt] if asked.has_prefill else [],
            "tokens": [_token(token) for token in choice.tokens],
            "best_of_sequences": None,
        }
        if asked.top:
            found["details"]["top_tokens"] = [_tops(token) for token in choice.tokens]
    return [found]


def _tops(token: dict[str, Any]) -> list[dict[str, Any]]:
    return [_token(other) for other in token.get("top") or ()]


class GenerationWriter:
    """Frames as the events of the Hub's server: one a token, the last with the whole text.

    A token is held back until the next is there, as only the last one carries the end.
    """

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._held: dict[str, Any] | None = None
        self._texts: list[str] = []
        self._count = 0
        self._reason = "stop"

    def begin(self, served: Served | None) -> bytes:
        return b""

    def frame(self, frame: dict[str, Any]) -> bytes:
        event = frame["event"]
        if event == "delta":
            return self._delta(frame)
        if event == "finish":
            self._reason = frame.get("reason") or "stop"
        elif event == "done":
            return self._done(frame)
        return b""

    def _delta(self, frame: dict[str, Any]) -> bytes:
        self._texts.append(frame.get("text", ""))
        tokens = [dict(token) for token in frame.get("tokens") or ()]
        if not tokens:
            return b""
        # Readers put the tokens' texts together, so they must be whole characters, as the delta's are.
        for token in tokens:
            token["text"] = ""
        tokens[-1]["text"] = frame.get("text", "")
        out = []
        for token in tokens:
            if self._held is not None:
                out.append(self._event(self._held))
            self._held = token
        return b"".join(out)

    def _event(self, token: dict[str, Any], text: str | None = None, details: Any = None) -> bytes:
        self._count += 1
        said = {"index": self._count, "token": _token(token), "generated_text": text, "details": details}
        if self._asked.top:
            said["top_tokens"] = _tops(token)
        return b"data:%s\n\n" % orjson.dumps(said)

    def _done(self, frame: dict[str, Any]) -> bytes:
        token = self._held or {"id": 0, "text": "", "logprob": 0.0}
        details = {
            "finish_reason": _ending(self._asked, self._reason),
            "generated_tokens": frame.get("completion_tokens") or 0,
            "input_length": frame.get("prompt_tokens") or 0,
            "seed": self._asked.seed,
        }
        text = self._asked.prefix + "".join(self._texts)
        return self._event(token, text, details if self._asked.has_details else None)

    def error(self, error: LlmosError) -> bytes:
        return b"data:%s\n\n" % orjson.dumps(error_body(error))
