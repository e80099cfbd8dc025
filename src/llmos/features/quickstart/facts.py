"""What the training job of a run has said of itself, as figures: its lines are read, so that they can be told
in the reader's language."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from llmos.features.jobs.models import Job
from llmos.features.jobs.streams import Curve, LogLineRow, Mark, mark_before_last, read_log

# The phases of the lab, and those of the runner around it, as parts of a run's story.
PARTS = {
    "fetch inputs": "text",
    "data": "text",
    "model": "tokenizer",
    "train": "train",
    "finish": "push",
    "push": "push",
    "publish": "push",
}
_HEAD_ROWS, _TAIL_LINES = 40, 80
_NUMBER = r"([\d,]+)"
_LINES = (
    (re.compile(rf"{_NUMBER} documents to learn from \(([\d.]+) MB\), {_NUMBER} held out"), "data"),
    (re.compile(rf"{_NUMBER} parameters; {_NUMBER} rows; "), "model"),
    (re.compile(rf"{_NUMBER} parameters, {_NUMBER} of them trained; {_NUMBER} examples"), "adapter"),
    (re.compile(rf"{_NUMBER} steps, {_NUMBER} tokens in ([\d.]+) s"), "end"),
)
_FIELDS: dict[str, tuple[str, ...]] = {
    "data": ("documents", "megabytes", "held_out"),
    "model": ("parameters", "rows"),
    "adapter": ("parameters", "trained_parameters", "rows"),
    "end": ("steps", "tokens", "seconds"),
}
_CURVES = {
    "train/loss": "loss",
    "eval/loss": "held_out_loss",
    "eval/bits_per_byte": "held_out_bits_per_byte",
    "train/tokens_per_second": "tokens_per_second",
}


@dataclass
class TrainingFacts:
    """`figures` by name, as far as they are known; `began` says when each phase did."""

    figures: dict[str, float] = field(default_factory=dict)
    began: dict[str, datetime] = field(default_factory=dict)

    def get(self, name: str) -> float | None:
        return self.figures.get(name)

    def has(self, *names: str) -> bool:
        return all(name in self.figures for name in names)

    def to_json(self) -> dict[str, Any]:
        whole = ("megabytes", "seconds", *_CURVES.values(), "first_loss", "first_held_out_loss")
        return {
            name: value if name in whole or name.startswith("first_") else int(value)
            for name, value in self.figures.items()
        }


def read_facts(db: Session, job: Job | None, curves: Sequence[Curve]) -> TrainingFacts:
    """From the beginning and the end of a job's log, and from its curves."""
    facts = TrainingFacts()
    if job is None or job.started_at is None:
        return facts
    lines, _ = read_log(db, job.id, Mark(), limit_rows=_HEAD_ROWS)
    if job.is_over:
        lines += read_log(db, job.id, mark_before_last(db, job.id, _TAIL_LINES))[0]
    # A job taken up again after a loss tells everything anew: what it said last counts.
    last = max((line.attempt for line in lines), default=0)
    read_lines(facts, (line for line in lines if line.attempt == last))
    for curve in curves:
        known = [value for _, value in curve.points if value is not None]
        if known and curve.name in _CURVES:
            name = _CURVES[curve.name]
            facts.figures[f"first_{name}"], facts.figures[name] = known[0], known[-1]
    return facts


def read_lines(facts: TrainingFacts, lines: Iterable[LogLineRow]) -> None:
    """Take from lines of a log, oldest first, what is known of them."""
    for line in lines:
        if line.stream != "stdout":
            continue
        if line.text.startswith("== "):
            facts.began.setdefault(line.text[3:], line.at)
            continue
        for pattern, kind in _LINES:
            if found := pattern.match(line.text):
                values = (float(text.replace(",", "")) for text in found.groups())
                facts.figures.update(zip(_FIELDS[kind], values, strict=True))
