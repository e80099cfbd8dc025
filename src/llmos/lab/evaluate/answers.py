"""Asks an engine the questions of a task, and settles what is too close to call."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, runtime_checkable

from llmos.lab.evaluate.engines.base import NEAR, Engine, EngineError, GenerateRequest, Request, Score
from llmos.lab.evaluate.outcomes import Outcome
from llmos.lab.evaluate.tasks.questions import Question
from llmos.lab.evaluate.tasks.schema import Task

_WORDS = re.compile(r"\s+")


@dataclass(frozen=True)
class Answer:
    """What came back for one question; a line of the log that a run goes on from."""

    output: str = ""
    chosen: int = -1
    logprobs: list[float] = field(default_factory=list)
    logprob: float | None = None
    found: list[str] = field(default_factory=list)
    tokens: int = 0
    unknown_tokens: int = 0
    truncated: bool = False
    seconds: float | None = None
    joules: float | None = None
    is_metered: bool = False
    prompt: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@runtime_checkable
class Headed(Protocol):
    """An engine whose model has a head (`engines.heads.HeadEngine`)."""

    @property
    def labels(self) -> list[str]: ...

    def classify(self, texts: Sequence[str], names: Sequence[str]) -> list[tuple[list[float], bool]]: ...

    def tag(
        self, sentences: Sequence[Sequence[str]], names: Sequence[str]
    ) -> list[tuple[list[str], bool]]: ...

    def point(
        self, questions: Sequence[str], passages: Sequence[str], names: Sequence[str]
    ) -> list[tuple[str, bool]]: ...


@dataclass(frozen=True)
class Manner:
    """How questions are asked: as text or as a chat, from which seed, decided by which lengths."""

    chat: bool
    seed: int
    max_new_tokens: int
    temperature: float
    lengths: Sequence[Callable[[str], int]]


def no_length(choice: str) -> int:
    return 1


def characters(choice: str) -> int:
    return max(1, len(choice))


def size_bytes(choice: str) -> int:
    return max(1, len(choice.encode()))


def answer(task: Task, questions: Sequence[Question], engine: Engine, manner: Manner) -> list[Answer]:
    """The answers in the order of the questions. Raises what the engine raises."""
    if task.kind == "perplexity":
        return _rolling(task, questions, engine)
    if isinstance(engine, Headed):
        return _by_head(task, questions, engine)
    if questions and questions[0].continuations:
        return _choose(task, questions, engine, manner)
    if task.kind in ("tagging", "classification") or (task.kind == "qa" and task.prompt is None):
        raise EngineError(
            f"A task of kind {task.kind} as this one asks for a model with a head for it, and this one only "
            "continues text. Take such a model, or give the task `prompt` and `choices`."
        )
    return _generate(task, questions, engine, manner)


def context_of(question: Question, engine: Engine, manner: Manner) -> str:
    return engine.chat(question.messages()) if manner.chat else question.context


# Likelihoods


def _choose(task: Task, questions: Sequence[Question], engine: Engine, manner: Manner) -> list[Answer]:
    delimiter = len(task.target_delimiter) if manner.chat else 0
    requests: list[list[Request]] = []
    for question in questions:
        ends = [end[delimiter:] if not question.contexts else end for end in question.continuations]
        if question.contexts:
            requests.append([Request(context, ends[:1], question.id) for context in question.contexts])
        else:
            requests.append([Request(context_of(question, engine, manner), ends, question.id)])
    scores = _by_question(engine.loglikelihoods([r for part in requests for r in part]), requests)
    close = [n for n, row in enumerate(scores) if _is_close(task, questions[n], row, manner)]
    settled = engine.settle([r for n in close for r in requests[n]]) if close else None
    if settled is not None:
        for n, row in zip(close, _by_question(settled, [requests[n] for n in close]), strict=True):
            scores[n] = row
    return [
        _chosen(task, question, row, str(part[0].context))
        for question, row, part in zip(questions, scores, requests, strict=True)
    ]


def _by_question(scores: list[list[Score]], requests: list[list[Request]]) -> list[list[Score]]:
    rest = iter(scores)
    return [[score for _ in part for score in next(rest)] for part in requests]


def _is_close(task: Task, question: Question, row: Sequence[Score], manner: Manner) -> bool:
    """Whether rounding could change what is decided."""
    if task.kind == "loglikelihood":
        return row[0].near
    if len(row) < 2:
        return False
    names = question.choices or question.continuations
    for length in manner.lengths:
        lows = [(s.logprob - NEAR / 2) / length(c) for s, c in zip(row, names, strict=True)]
        highs = [(s.logprob + NEAR / 2) / length(c) for s, c in zip(row, names, strict=True)]
        if sum(high >= max(lows) for high in highs) > 1:
            return True
    return False


def _chosen(task: Task, question: Question, row: Sequence[Score], prompt: str) -> Answer:
    logprobs = [score.logprob for score in row]
    truncated, tokens = any(score.truncated for score in row), sum(score.tokens for score in row)
    times = [score.seconds for score in row if score.seconds is not None]
    seconds = sum(times) if times else None
    shared: dict[str, Any] = {"tokens": tokens, "truncated": truncated, "seconds": seconds, "prompt": prompt}
    if task.kind == "loglikelihood":
        chosen = 0 if row[0].is_greedy else -1
        return Answer("", chosen, logprobs, row[0].logprob, **shared)
    chosen = logprobs.index(max(logprobs))
    return Answer(question.choices[chosen], chosen, logprobs, **shared)


def _rolling(task: Task, questions: Sequence[Question], engine: Engine) -> list[Answer]:
    found = engine.rolling([question.target for question in questions], overlap=task.overlap)
    return [
        Answer(
            logprob=r.logprob,
            tokens=r.tokens,
            unknown_tokens=r.unknown_tokens,
            truncated=r.windows > 1,
            seconds=r.seconds,
        )
        for r in found
    ]


# Heads


def _by_head(task: Task, questions: Sequence[Question], engine: Headed) -> list[Answer]:
    names = [question.id for question in questions]
    if task.kind == "tagging":
        tagged = engine.tag([question.words for question in questions], names)
        return [Answer(found=tags, tokens=len(tags), truncated=cut) for tags, cut in tagged]
    if task.kind == "qa" and task.question and task.passage:
        asked = [question.extra["question"] for question in questions]
        passages = [question.extra["passage"] for question in questions]
        pointed = engine.point(asked, passages, names)
        return [
            Answer(output=text, truncated=cut, prompt=f"{q}\n\n{p}")
            for (text, cut), q, p in zip(pointed, asked, passages, strict=True)
        ]
    if task.kind not in ("classification", "multiple_choice"):
        raise EngineError(f"A model with a head does not answer a task of kind {task.kind}.")
    texts = [question.source for question in questions]
    rows = engine.classify(texts, names)
    return [
        _labelled(question, row, cut, engine.labels)
        for question, (row, cut) in zip(questions, rows, strict=True)
    ]


def _labelled(question: Question, row: list[float], cut: bool, labels: list[str]) -> Answer:
    """The label; where the task names choices, they are labels by name, or by number if as many."""
    names = list(question.choices)
    if names and set(names) <= set(labels):
        row = [row[labels.index(name)] for name in names]
    elif names and len(names) != len(labels):
        raise EngineError(
            f"The task chooses between {', '.join(names)}; the model's labels are {', '.join(labels)}. "
            "Name the labels in `choices`."
        )
    chosen = row.index(max(row))
    return Answer((names or labels)[chosen], chosen, row, truncated=cut, prompt=question.source)


# Generation


def _generate(task: Task, questions: Sequence[Question], engine: Engine, manner: Manner) -> list[Answer]:
    requests = [
        GenerateRequest(
            prompt=context_of(question, engine, manner),
            stop=task.stop,
            max_new_tokens=manner.max_new_tokens,
            temperature=manner.temperature,
            seed=manner.seed,
            id=question.id,
            messages=question.messages() if manner.chat else None,
        )
        for question in questions
    ]
    return [
        Answer(
            output=made.text,
            tokens=made.tokens,
            truncated=made.truncated,
            seconds=made.seconds,
            prompt=str(request.prompt),
        )
        for request, made in zip(requests, engine.generate(requests), strict=True)
    ]


# For the metrics


def outcome_of(task: Task, question: Question, given: Answer) -> Outcome:
    """What metrics look at."""
    text = question.target if task.kind == "perplexity" else ""
    is_likelihood = task.kind == "loglikelihood"
    return Outcome(
        id=question.id,
        target=0 if is_likelihood else None if task.kind == "perplexity" else question.target,
        output=given.output,
        chosen=given.chosen,
        logprobs=given.logprobs,
        choices=list(question.continuations) if is_likelihood else list(question.choices),
        references=list(question.references),
        source=question.source,
        found=given.found,
        logprob=given.logprob,
        tokens=given.tokens,
        unknown_tokens=given.unknown_tokens,
        words=len(_WORDS.split(text)) if text else 0,
        characters=len(text),
        size_bytes=len(text.encode()),
        seconds=given.seconds,
        joules=given.joules,
        is_metered=given.is_metered,
    )
