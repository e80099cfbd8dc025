"""Answers that grow in a batch: from a call to the frames `start`, `prompt`, `delta`, `finish`, `done`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from llmos.core.errors import LlmosError
from llmos.lab.serve.answers import Answer, Choice
from llmos.lab.serve.asking import Asking, grammar_of
from llmos.lab.serve.batch import Batch
from llmos.lab.serve.errors import STUMBLES, error_frame, not_a_number, stumbled
from llmos.lab.serve.grammar import Grammars
from llmos.lab.serve.llama import LlamaBatch
from llmos.lab.serve.loading import Loaded
from llmos.lab.serve.logprobs import name, tell
from llmos.lab.serve.rows import Row, Step
from llmos.lab.serve.sampling import choose
from llmos.lab.serve.solo import SoloBatch
from llmos.lab.serve.tools import ToolWatch
from llmos.wire.serving import Generate

# A frame of an echoed prompt holds no more tokens: lines are limited.
_ECHO = 256
Send = Callable[[int, dict[str, Any]], None]


class Generating:
    """Takes calls and advances all of them by a step. One call at fault ends alone."""

    def __init__(self, loaded: Loaded, batch: Batch | SoloBatch | LlamaBatch, send: Send) -> None:
        self.loaded, self.batch, self._send = loaded, batch, send
        self._asking = Asking(loaded, batch.vocabulary)
        self._grammars = Grammars(loaded.tokenizer, batch.vocabulary)
        self._answers: dict[int, Answer] = {}

    @property
    def has_work(self) -> bool:
        return self.batch.has_work

    def load(self) -> dict[str, int]:
        return {
            "running": len({row.owner.answer.id for row in self.batch.rows}),
            "waiting": len({row.owner.answer.id for row in self.batch.waiting}),
            "free_tokens": self.batch.free_tokens,
        }

    def take(self, number: int, call: Generate) -> None:
        """Put the call's choices into the queue. Raises CallError."""
        prompt = self._asking.prompt(call)
        limit = self._asking.limit(call, len(prompt))
        answer = Answer(number, call, prompt, limit)
        self._asking.check(call)
        grammar = grammar_of(call)
        ends = self.loaded.chat_ends if call.messages is not None else self.loaded.ends
        for index in range(call.n):
            watch = ToolWatch(call.tools) if call.tools and call.tool_choice != "none" else None
            choice = Choice(answer, index, self.loaded.spelling, ends, watch=watch)
            if grammar is not None:
                choice.obey(self._grammars.constraint(grammar, ends))
            answer.choices.append(choice)
        if limit == 0 and not (call.echo and call.logprobs is not None):
            self._finish_empty(answer)
            return
        self._answers[number] = answer
        answer.left = call.n
        first = answer.choices[0]
        first.row.whole = call.echo and call.logprobs is not None
        for choice in answer.choices[: 1 if limit == 0 else None]:
            self.batch.add(choice.row)

    def cancel(self, number: int) -> bool:
        answer = self._answers.pop(number, None)
        if answer is None:
            return False
        for choice in answer.choices:
            self.batch.end(choice.row)
        return True

    def step(self) -> None:
        """Read a part of new prompts, then one token more for everybody."""
        for advance in (self.batch.read_prompts, self.batch.grow):
            step = advance()
            self._tell_started()
            if step is not None:
                self._apply(step)

    def fail_all(self, error: LlmosError) -> None:
        """A forward went wrong: whoever had a part in it is told, what waits goes on."""
        rows = list(self.batch.rows) or list(self.batch.waiting)[:1]
        for number in {row.owner.answer.id for row in rows}:
            self._fail(self._answers[number], error)

    # From a step to frames

    def _apply(self, step: Step) -> None:
        if step.scored is not None and not self._try_score(step.scored, step.logits, step.first):
            return
        rows, logits = step.rows, step.logits
        if step.scored is not None:
            logits = logits[-1:]
            if rows and rows[0].owner.answer.limit == 0:
                self._finish_empty(rows[0].owner.answer)
                return
        if not rows:
            return
        choices: list[Choice] = [row.owner for row in rows]
        tokens = self._choose(choices, logits)
        told = self._told(choices, logits, tokens)
        for choice, token in zip(choices, tokens, strict=True):
            if choice.row.is_live:
                self._advance(choice, token, told.get(id(choice)))

    def _choose(self, choices: Sequence[Choice], logits: Tensor) -> list[int | None]:
        """The next tokens; None for a row that is at fault, whose call has failed then or will."""
        try:
            return choose(logits, [choice.sampler for choice in choices], [choice.made for choice in choices])
        except (LlmosError, *STUMBLES) as error:
            if len(choices) > 1:
                return [self._choose([choice], logits[n : n + 1])[0] for n, choice in enumerate(choices)]
            self._fail(choices[0].answer, stumbled(error))
            return [None]

    def _told(
        self, choices: Sequence[Choice], logits: Tensor, tokens: Sequence[int | None]
    ) -> dict[int, dict[str, Any]]:
        """What is told of the tokens beside their text, where it was asked for."""
        try:
            return self._tell(choices, logits, tokens)
        except STUMBLES as error:
            if len(choices) > 1:
                alone = [self._told([c], logits[n : n + 1], [tokens[n]]) for n, c in enumerate(choices)]
                return {key: value for one in alone for key, value in one.items()}
            self._fail(choices[0].answer, stumbled(error))
            return {}

    def _tell(
        self, choices: Sequence[Choice], logits: Tensor, tokens: Sequence[int | None]
    ) -> dict[int, dict[str, Any]]:
        wanted = [
            n
            for n, choice in enumerate(choices)
            if choice.answer.call.logprobs is not None and tokens[n] is not None
        ]
        if not wanted:
            return {}
        most = max(choices[n].answer.call.logprobs or 0 for n in wanted)
        told = tell(self.loaded.spelling, logits[wanted], [tokens[n] or 0 for n in wanted], most)
        for n, one in zip(wanted, told, strict=True):
            one["top"] = one["top"][: choices[n].answer.call.logprobs or 0]
        return {id(choices[n]): one for n, one in zip(wanted, told, strict=True)}

    def _advance(self, choice: Choice, token: int | None, told: dict[str, Any] | None) -> None:
        answer = choice.answer
        if token is None:
            self._fail(answer, not_a_number(), spoilt=True)
            return
        answer.made += 1
        try:
            frames = choice.push(token, told)
        except (LlmosError, *STUMBLES) as error:
            self._fail(answer, stumbled(error))
            return
        for frame in frames:
            self._send(answer.id, frame)
        if choice.is_done:
            self.batch.end(choice.row)
            answer.left -= 1
            if not answer.left:
                del self._answers[answer.id]
                self._send(answer.id, answer.done())

    def _try_score(self, row: Row, logits: Tensor, first: int) -> bool:
        try:
            return self._score(row, logits, first)
        except STUMBLES as error:
            self._fail(row.owner.answer, stumbled(error))
            return False

    def _score(self, row: Row, logits: Tensor, first: int) -> bool:
        """Tell the likelihoods of the prompt's tokens that these logits predict."""
        answer: Answer = row.owner.answer
        spelling, wanted = self.loaded.spelling, answer.prompt[first + 1 : first + 1 + len(logits)]
        if not bool(logits.max(dim=-1).values.isfinite().all()):
            self._fail(answer, not_a_number(), spoilt=True)
            return False
        if first == 0:
            begin = {**name(spelling, answer.prompt[0]), "logprob": None, "top": [], "entropy": 0.0}
            self._send(answer.id, {"event": "prompt", "tokens": [begin]})
        for start in range(0, len(wanted), _ECHO):
            part = wanted[start : start + _ECHO]
            told = tell(spelling, logits[start : start + len(part)], part, answer.call.logprobs or 0)
            self._send(answer.id, {"event": "prompt", "tokens": told})
        return True

    def _tell_started(self) -> None:
        for row in self.batch.rows:
            answer: Answer = row.owner.answer
            if answer.cached is None or not answer.was_started:
                answer.cached, answer.was_started = row.cached, True
                self._send(answer.id, {"event": "start", "prompt_tokens": len(answer.prompt)})
                if answer.call.echo and answer.call.logprobs is None:
                    self._echo(answer)

    def _echo(self, answer: Answer) -> None:
        for start in range(0, len(answer.prompt), _ECHO):
            part = answer.prompt[start : start + _ECHO]
            tokens = [
                {**name(self.loaded.spelling, token), "logprob": None, "top": [], "entropy": 0.0}
                for token in part
            ]
            self._send(answer.id, {"event": "prompt", "tokens": tokens})

    def _finish_empty(self, answer: Answer) -> None:
        """Nothing was to be said."""
        if not answer.was_started:
            self._send(answer.id, {"event": "start", "prompt_tokens": len(answer.prompt)})
            if answer.call.echo:
                self._echo(answer)
        self._answers.pop(answer.id, None)
        for choice in answer.choices:
            self.batch.end(choice.row)
            self._send(answer.id, {"event": "finish", "index": choice.index, "reason": "length"})
        self._send(answer.id, answer.done())

    def _fail(self, answer: Answer, error: LlmosError, *, spoilt: bool = False) -> None:
        if self._answers.pop(answer.id, None) is None:
            return
        for choice in answer.choices:
            self.batch.end(choice.row, spoilt=spoilt)
        self._send(answer.id, error_frame(error))
