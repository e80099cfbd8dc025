"""Models behind an address that speaks the OpenAI protocol: completions and chat completions.

Likelihoods need `echo` with `logprobs` of /v1/completions; a chat gives none.
"""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmos.lab.evaluate.engines.base import (
    EmptyContinuation,
    EndpointFailed,
    EngineError,
    Facts,
    Generated,
    GenerateRequest,
    NotANumber,
    Request,
    Rolling,
    Score,
)
from llmos.records.canonical import digest
from llmos.wire.evaluation_recipe import EndpointChoice

LOG = "endpoint.jsonl"
TIMEOUT_S = 300.0
_PAUSES_S = (1.0, 4.0, 15.0)
_PASSING = (408, 409, 425, 429, 500, 502, 503, 504)
_MAX_ANSWER_BYTES = 64 << 20


class EndpointEngine:
    """Asks an endpoint, one request at a time; every answer is kept in `folder` and never asked for twice.

    Raises EndpointFailed where it does not answer after some tries, or not as the protocol says; EngineError
    where it gives no likelihoods.
    """

    def __init__(
        self,
        choice: EndpointChoice,
        folder: Path,
        *,
        root: Path,
        timeout_s: float = TIMEOUT_S,
        pauses_s: Sequence[float] = _PAUSES_S,
    ) -> None:
        self._choice = choice
        self._url = choice.url.rstrip("/").removesuffix("/v1") + "/v1"
        self._timeout_s, self._pauses_s = timeout_s, pauses_s
        self._headers = {"content-type": "application/json", "user-agent": "llmos-eval"}
        if choice.api_key_variable:
            key = os.environ.get(choice.api_key_variable)
            if not key:
                raise EngineError(
                    f"endpoint.api_key_variable: the variable {choice.api_key_variable} is not set or empty."
                )
            self._headers["authorization"] = f"Bearer {key}"
        self._tokenizer: Any = None
        if choice.tokenizer:
            from llmos.lab.evaluate.engines.loading import load_tokenizer

            self._tokenizer = load_tokenizer(root / choice.tokenizer)
        self._path = folder / LOG
        self._known = self._read_log()
        self.tokens = 0

    def facts(self) -> Facts:
        return Facts(engine=f"openai-{self._choice.kind}", device=self._choice.url)

    def close(self) -> None:
        """All is answered: the log has done its work."""
        self._path.unlink(missing_ok=True)

    def settle(self, requests: Sequence[Request]) -> None:
        return None

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        """For the record: the model's own template is known to the endpoint alone."""
        if self._choice.kind != "chat":
            raise EngineError(
                "endpoint.kind: completions takes text, not a chat. Set kind: chat, or chat_template: false."
            )
        return json.dumps(list(messages), ensure_ascii=False)

    # Likelihoods

    def loglikelihoods(self, requests: Sequence[Request]) -> list[list[Score]]:
        return [[self._score(request, end) for end in request.continuations] for request in requests]

    def _score(self, request: Request, end: str) -> Score:
        if not isinstance(request.context, str):
            raise EngineError("An endpoint is asked with text, not with ids.")
        if not end:
            raise EmptyContinuation(
                f"A choice of sample {request.id or '?'} is empty, so it has no likelihood."
            )
        # Blanks belong to the word after them, as in the tokens of most models.
        context = request.context.rstrip()
        found, seconds = self._echo(request.context + end)
        logprob, tokens, is_greedy = 0.0, 0, True
        for place, value, is_top in found:
            # A character of several tokens has all of them where it begins; the last one alone ends after it.
            if place[0] < len(context) and place[1] <= len(context):
                continue
            if value is None:
                if context:
                    continue
                # The first token of a text has no likelihood without something before it.
                raise EngineError(
                    f"Sample {request.id or '?'} has an empty context: an endpoint gives its first token no "
                    "likelihood. Give the task a prompt."
                )
            logprob, tokens, is_greedy = logprob + value, tokens + 1, is_greedy and is_top
        if not tokens:
            raise EmptyContinuation(f"A choice of sample {request.id or '?'} adds no token to its context.")
        return Score(logprob, is_greedy, tokens, seconds=seconds)

    def rolling(self, texts: Sequence[str], *, overlap: bool = True) -> list[Rolling]:
        """The first token is left out, as the endpoint gives it no likelihood; a text must fit as a whole."""
        found = []
        for text in texts:
            given, seconds = self._echo(text)
            values = [value for _, value, _ in given if value is not None]
            size = len(text.encode())
            found.append(Rolling(sum(values), len(values), size, len(text), seconds=seconds))
        return found

    def _echo(self, text: str) -> tuple[list[tuple[tuple[int, int], float | None, bool]], float | None]:
        """Of each token: where its text begins and ends, its log-probability, whether it was likeliest; and
        the seconds the answer took."""
        if self._choice.kind == "chat":
            raise EngineError(
                "endpoint.kind: a chat endpoint gives no likelihoods, which this task needs. Use kind: "
                "completions, or a task that lets the model write."
            )
        body = {"prompt": text, "max_tokens": 0, "echo": True, "logprobs": 1, "temperature": 0}
        choice = self._ask("completions", body)
        given = choice.get("logprobs") or {}
        values, offsets = given.get("token_logprobs"), given.get("text_offset")
        tops = given.get("top_logprobs") or []
        if not isinstance(values, list) or not isinstance(offsets, list) or len(values) != len(offsets):
            raise EngineError(
                f"{self._url} gives no log-probabilities of the prompt (echo with logprobs), which this "
                "task needs."
            )
        found = []
        for number, (value, begin) in enumerate(zip(values, offsets, strict=True)):
            if value is not None and not isinstance(value, int | float):
                raise NotANumber(f"{self._url} gave a log-probability that is no number.")
            end = offsets[number + 1] if number + 1 < len(offsets) else len(text)
            top = tops[number] if number < len(tops) and isinstance(tops[number], dict) else {}
            is_top = value is None or all(value >= other for other in top.values() if other is not None)
            found.append(((int(begin), int(end)), None if value is None else float(value), is_top))
        self.tokens += len(found)
        return [entry for entry in found if entry[0][0] < len(text)], choice.get("seconds")

    # Generation

    def generate(self, requests: Sequence[GenerateRequest]) -> list[Generated]:
        return [self._written(request) for request in requests]

    def _written(self, request: GenerateRequest) -> Generated:
        body: dict[str, Any] = {
            "max_tokens": request.max_new_tokens,
            "temperature": request.temperature,
            "seed": request.seed,
            # The protocol takes four; what it does not stop at is cut below.
            "stop": list(request.stop)[:4] or None,
        }
        if self._choice.kind == "chat":
            body["messages"] = list(request.messages or [{"role": "user", "content": str(request.prompt)}])
            choice = self._ask("chat/completions", body)
            text = (choice.get("message") or {}).get("content")
        else:
            choice = self._ask("completions", body | {"prompt": request.prompt})
            text = choice.get("text")
        if text is None:
            text = ""
        if not isinstance(text, str):
            raise EndpointFailed(f"{self._url} answered something that is no text.")
        cuts = [text.find(stop) for stop in request.stop if stop and stop in text]
        tokens = int(choice.get("completion_tokens") or 0)
        self.tokens += tokens
        return Generated(text[: min(cuts)] if cuts else text, tokens, seconds=choice.get("seconds"))

    # The wire

    def _ask(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The first choice of an answer, from the log where it is known."""
        full = {"model": self._choice.model, **{k: v for k, v in body.items() if v is not None}}
        key = digest([path, full])
        if key not in self._known:
            began = time.monotonic()
            answer = self._post(f"{self._url}/{path}", full)
            seconds = time.monotonic() - began
            choices = answer.get("choices")
            if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
                raise EndpointFailed(
                    f"{self._url} answered without choices: not an OpenAI-compatible endpoint?"
                )
            usage = answer.get("usage") or {}
            counted = {"completion_tokens": usage.get("completion_tokens"), "seconds": seconds}
            self._known[key] = choices[0] | counted
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([key, self._known[key]], ensure_ascii=False) + "\n")
        return self._known[key]

    def _post(self, url: str, body: Mapping[str, Any]) -> dict[str, Any]:
        reason = ""
        for pause in (*self._pauses_s, None):
            try:
                request = urllib.request.Request(url, json.dumps(body).encode(), self._headers)
                with urllib.request.urlopen(request, timeout=self._timeout_s) as response:
                    found = json.loads(response.read(_MAX_ANSWER_BYTES))
                if isinstance(found, dict):
                    return found
                reason = "the answer is no JSON object"
            except urllib.error.HTTPError as error:
                with error:
                    reason = f"{error.code} {_said(error.read(4000))}"
                if error.code not in _PASSING:
                    break
            except (OSError, ValueError, http.client.HTTPException) as error:
                reason = str(error) or type(error).__name__
            if pause is not None:
                time.sleep(pause)
        raise EndpointFailed(
            f"{url} does not answer: {reason}. {len(self._known)} answers are kept in "
            f"{self._path.parent}; run the same command again to go on from there.",
            data={"url": url, "kept": len(self._known)},
        )

    def _read_log(self) -> dict[str, dict[str, Any]]:
        """A line that was cut off is left out, and written over."""
        if not self._path.is_file():
            return {}
        found: dict[str, dict[str, Any]] = {}
        whole = 0
        with self._path.open("rb") as file:
            for line in file:
                try:
                    key, choice = json.loads(line)
                except ValueError:
                    break
                if not line.endswith(b"\n"):
                    break
                found[key] = choice
                whole += len(line)
        os.truncate(self._path, whole)
        return found


def _said(raw: bytes) -> str:
    """What an error says, in one line."""
    text = raw.decode("utf-8", "replace")
    try:
        found = json.loads(text)
        text = str(found["error"]["message"])
    except (ValueError, KeyError, TypeError):
        pass
    return " ".join(text.split())[:300]
