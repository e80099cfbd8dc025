"""A generation on its way: what was asked, what was said so far, when it ends."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from llmos.lab.serve.grammar import Constraint
from llmos.lab.serve.rows import Row
from llmos.lab.serve.sampling import Sampler
from llmos.lab.serve.text import Spelling, Stops
from llmos.lab.serve.tools import ToolWatch
from llmos.wire.serving import Generate


@dataclass(eq=False)
class Answer:
    """A call for `n` choices. `left` of them are not finished."""

    id: int
    call: Generate
    prompt: list[int]
    limit: int
    left: int = 0
    made: int = 0
    cached: int | None = None
    was_started: bool = False
    choices: list[Choice] = field(default_factory=list)

    def done(self) -> dict[str, Any]:
        return {
            "event": "done",
            "prompt_tokens": len(self.prompt),
            "completion_tokens": self.made,
            "cached_tokens": self.cached or 0,
        }


class Choice:
    """One of the texts an answer gives. `push` takes a token and tells the frames it makes."""

    def __init__(
        self,
        answer: Answer,
        index: int,
        spelling: Spelling,
        ends: Collection[int],
        *,
        watch: ToolWatch | None,
    ) -> None:
        self.answer, self.index = answer, index
        self.row = Row(list(answer.prompt), self)
        self.sampler = Sampler(answer.call, index, answer.prompt, ends)
        self.made = 0
        self.is_done = False
        self._ends = frozenset(ends)
        self._writer = spelling.writer(answer.prompt)
        self._stops = Stops(answer.call.stop)
        self._watch = watch
        self._count = 0
        self._tokens: list[dict[str, Any]] = []
        self._grammar: Constraint | None = None

    def obey(self, grammar: Constraint) -> None:
        """Only tokens that the grammar allows from now on."""
        self._grammar = grammar
        self.sampler.mask = grammar.mask

    def push(self, token: int, told: dict[str, Any] | None) -> list[dict[str, Any]]:
        """`told` is the token as the wire tells it, where tokens were asked for."""
        call = self.answer.call
        self.made += 1
        self._count += 1
        self.row.ids.append(token)
        self.sampler.took(token)
        # A grammar allows an end only where the answer is whole.
        may_end = self._grammar is not None or (not call.ignore_eos and self.made > call.min_tokens)
        ended = token in self._ends and may_end
        text = "" if ended else self._stops.push(self._writer.push(token))
        if told is not None and not ended:
            self._tokens.append(told)
        reason = "stop" if ended or self._stops.found else ""
        if not reason and self._grammar is not None and not self._grammar.take(token):
            reason = "stop"
        if not reason and self.made >= self.answer.limit:
            reason = "length"
        return self._frames(text, reason)

    def _frames(self, text: str, reason: str) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = []
        if reason and not self._stops.found:
            text += self._stops.push(self._writer.end())
            text += self._stops.end()
        if self._watch is not None:
            text = self._watch.push(text)
            if reason:
                rest, calls = self._watch.end()
                text += rest
        frames: list[dict[str, Any]] = []
        if text or self._tokens:
            frames.append({"event": "delta", "index": self.index, "text": text, "count": self._count})
            if self.answer.call.logprobs is not None:
                frames[0]["tokens"] = self._tokens
            self._count, self._tokens = 0, []
        if reason:
            self.is_done = True
            finish = {"event": "finish", "index": self.index, "reason": reason}
            if calls:
                finish |= {"reason": "tool_calls", "tool_calls": calls}
            frames.append(finish)
        return frames
