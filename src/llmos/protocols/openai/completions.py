"""`/v1/completions`: text or token ids in, their continuation out; with `echo`, the prompt's tokens, too."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any

import orjson

from llmos.core.errors import LlmosError
from llmos.features.endpoints.calls import Served
from llmos.protocols.openai.calls import Answer, Choice, fingerprint, usage_json
from llmos.protocols.openai.chat import DONE, wants_usage
from llmos.protocols.openai.errors import error_event, refuse
from llmos.protocols.openai.fields import Fields
from llmos.protocols.openai.logprobs import Offsets, prompt_text, text_logprobs
from llmos.protocols.openai.sampling import MAX_TOKENS, response_format, sampling
from llmos.wire.serving import MAX_TOP_LOGPROBS

MAX_PROMPTS = 256
MAX_IDS = 1_000_000
DEFAULT_TOKENS = 16  # as OpenAI's own completions
Prompt = str | list[int]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, understood: one call for each prompt."""

    model: str
    prompts: list[Prompt]
    call: dict[str, Any]
    is_stream: bool
    with_usage: bool
    has_echo: bool
    has_logprobs: bool

    @property
    def choices(self) -> int:
        return int(self.call.get("n", 1))

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [self.call | {"prompt": prompt} for prompt in self.prompts]

    def prompt_of(self, index: int) -> Prompt:
        return self.prompts[min(index // self.choices, len(self.prompts) - 1)]


def read_completion(data: dict[str, Any], model: str | None = None) -> Asked:
    """A body as calls; `model` is what the address names, which counts more. BadRequest."""
    body = Fields(data)
    name = model or body.needed_text("model", 400)
    prompts = read_prompts(body, "prompt", MAX_PROMPTS)
    if body.text("suffix"):
        refuse("suffix", "no model here fills in the middle; leave it out.", "unsupported_parameter")
    call: dict[str, Any] = {"call": "generate", **sampling(body)}
    best_of = body.integer("best_of", 1, MAX_TOKENS)
    if best_of is not None and best_of != call.get("n", 1):
        refuse("best_of", "answers are not ranked here; ask for n of them.", "unsupported_parameter")
    most = body.integer("max_tokens", 0, MAX_TOKENS)
    call["max_tokens"] = DEFAULT_TOKENS if most is None else most
    has_echo = body.flag("echo")
    if most == 0 and not has_echo:
        refuse("max_tokens", "0 tokens make no text; this is only for echo.")
    if has_echo:
        call["echo"] = True
    top = body.integer("logprobs", 0, MAX_TOP_LOGPROBS)
    if top is not None:
        call["logprobs"] = top
    grammar = response_format(body)
    if grammar is not None:
        call["grammar"] = grammar
    return Asked(name, prompts, call, body.flag("stream"), wants_usage(body), has_echo, top is not None)


def read_prompts(body: Fields, name: str, limit: int) -> list[Prompt]:
    """A text, token ids, or a list of either. BadRequest."""
    given = body.get(name)
    if given is None:
        refuse(name, "this field is missing; it must be a text or a list.", "missing_required_parameter")
    if isinstance(given, str):
        return [_filled(name, given)]
    if isinstance(given, list) and given and isinstance(given[0], int) and not isinstance(given[0], bool):
        return [_ids(name, given)]
    items = body.items(name, limit)
    if not items:
        refuse(name, "the list is empty.")
    return [_prompt(f"{name}[{number}]", item) for number, item in enumerate(items)]


def _prompt(place: str, item: Any) -> Prompt:
    if not isinstance(item, str | list):
        refuse(place, "this must be a text or a list of token ids.", "invalid_type")
    return _filled(place, item) if isinstance(item, str) else _ids(place, item)


def _filled(place: str, text: str) -> str:
    if not text:
        refuse(place, "the text is empty.")
    return text


def _ids(place: str, item: list[Any]) -> list[int]:
    if not item:
        refuse(place, "the list is empty.")
    if len(item) > MAX_IDS:
        refuse(place, f"{len(item)} token ids are too many; at most {MAX_IDS}.")
    for value in item:
        if type(value) is not int or not 0 <= value < 1 << 31:
            refuse(place, "token ids must be whole numbers from 0 on.", "invalid_type")
    return item


def completion_json(asked: Asked, answer: Answer) -> dict[str, Any]:
    """The whole answer, as `text_completion`."""
    return {
        "id": f"cmpl-{secrets.token_hex(12)}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": asked.model,
        "system_fingerprint": fingerprint(answer.served),
        "choices": [
            _choice_json(asked, number, choice, answer) for number, choice in sorted(answer.choices.items())
        ],
        "usage": usage_json(answer.usage),
    }


def _choice_json(asked: Asked, number: int, choice: Choice, answer: Answer) -> dict[str, Any]:
    prompt, text = asked.prompt_of(number), choice.text
    # The engine gives a prompt's tokens once, whatever n is.
    echoed = answer.choices[number - number % asked.choices].prompt if asked.has_echo else []
    offsets = Offsets()
    places = offsets.of_prompt(echoed, prompt if isinstance(prompt, str) else None)
    if asked.has_echo:
        text = (prompt if isinstance(prompt, str) else prompt_text(echoed)) + text
    logprobs = None
    if asked.has_logprobs:
        logprobs = text_logprobs([*echoed, *choice.tokens], [*places, *offsets.of(choice.tokens)])
    return {"text": text, "index": number, "logprobs": logprobs, "finish_reason": choice.reason}


class CompletionWriter:
    """Frames as `text_completion` events."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._id = f"cmpl-{secrets.token_hex(12)}"
        self._head = self._tail = b""
        self._offsets: dict[int, Offsets] = {}
        # Prompts come in parts, and are told once they are whole.
        self._prompts: dict[int, list[dict[str, Any]]] = {}

    def begin(self, served: Served | None) -> bytes:
        head = {
            "id": self._id,
            "object": "text_completion",
            "created": int(time.time()),
            "model": self._asked.model,
            "system_fingerprint": fingerprint(served),
        }
        self._head = b"data: " + orjson.dumps(head)[:-1]
        self._tail = b',"usage":null}\n\n' if self._asked.with_usage else b"}\n\n"
        return b""

    def _chunk(self, index: int, text: str, logprobs: bytes = b"null", reason: bytes = b"null") -> bytes:
        return b'%s,"choices":[{"index":%d,"text":%s,"logprobs":%s,"finish_reason":%s}]%s' % (
            self._head, index, orjson.dumps(text), logprobs, reason, self._tail,
        )  # fmt: skip

    def frame(self, frame: dict[str, Any]) -> bytes:
        event, index = frame["event"], frame.get("index", 0)
        if event == "prompt":
            self._prompts.setdefault(index, []).extend(frame.get("tokens") or ())
            return b""
        if event == "delta":
            return self._prompt(index - index % self._asked.choices) + self._delta(frame)
        if event == "finish":
            reason = orjson.dumps(frame.get("reason") or "stop")
            told = self._prompt(index - index % self._asked.choices)
            return told + self._chunk(index, "", b"null", reason)
        return self._usage(frame) + DONE if event == "done" else b""

    def _delta(self, frame: dict[str, Any]) -> bytes:
        index, text, tokens = frame.get("index", 0), frame.get("text", ""), frame.get("tokens")
        if self._asked.has_logprobs and tokens:
            places = self._offsets.setdefault(index, Offsets()).of(tokens)
            return self._chunk(index, text, orjson.dumps(text_logprobs(tokens, places)))
        return self._chunk(index, text) if text else b""

    def _prompt(self, first: int) -> bytes:
        """Once for each of the answers that go on from this prompt; nothing if it was told."""
        tokens, out = self._prompts.pop(first, None), []
        if tokens is None:
            return b""
        prompt = self._asked.prompt_of(first)
        sent = prompt if isinstance(prompt, str) else None
        for index in range(first, first + self._asked.choices):
            places = self._offsets.setdefault(index, Offsets()).of_prompt(tokens, sent)
            logprobs = orjson.dumps(text_logprobs(tokens, places)) if self._asked.has_logprobs else b"null"
            out.append(self._chunk(index, prompt_text(tokens) if sent is None else sent, logprobs))
        return b"".join(out)

    def _usage(self, frame: dict[str, Any]) -> bytes:
        if not self._asked.with_usage:
            return b""
        return b'%s,"choices":[],"usage":%s}\n\n' % (self._head, orjson.dumps(usage_json(frame)))

    def error(self, error: LlmosError) -> bytes:
        return error_event(error) + DONE
