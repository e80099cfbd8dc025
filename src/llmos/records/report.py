"""What verifying a bundle found: what holds, what was changed, and what could not be looked at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from llmos.wire.evaluation import Statement

Culprit = Literal[
    "weights", "tokenizer", "chat template", "model settings", "model code",
    "data row", "task", "few-shot order", "prompt", "answer", "samples", "metric", "interval",
    "seed", "settings", "package lock", "environment", "cost", "run",
    "statement", "signer", "log position", "recipe",
]  # fmt: skip
MAX_WHERE = 1000
_SHOWN = 8


@dataclass(frozen=True)
class Finding:
    """Something is not what was signed. `where` names files, fields or samples."""

    culprit: Culprit
    message: str
    where: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Unchecked:
    what: str
    why: str


@dataclass
class Report:
    """All of it. Nothing in `statement` may be believed unless `is_good`."""

    folder: Path
    statement: Statement | None = None
    signers: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    unchecked: list[Unchecked] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether somebody given signed it, and nothing that was looked at was changed."""
        return bool(self.signers) and not self.findings

    @property
    def culprits(self) -> list[Culprit]:
        return list(dict.fromkeys(finding.culprit for finding in self.findings))

    def found(self, culprit: Culprit, message: str, where: Iterable[str] = ()) -> None:
        names = [printable(name) for name in where]
        self.findings.append(Finding(culprit, printable(message), names[:MAX_WHERE]))

    def skip(self, what: str, why: str) -> None:
        self.unchecked.append(Unchecked(what, printable(why)))

    def to_json(self) -> dict[str, Any]:
        predicate = self.statement.predicate if self.statement else None
        return {
            "bundle": str(self.folder),
            "good": self.is_good,
            "record_id": predicate.record_id if predicate else None,
            "signed_by": self.signers,
            "culprits": self.culprits,
            "findings": [asdict(finding) for finding in self.findings],
            "checked": self.checked,
            "unchecked": [asdict(item) for item in self.unchecked],
        }

    def describe(self) -> str:
        """For people: the verdict, every culprit with where it is, and what was not checked."""
        lines = [self._verdict()]
        for finding in self.findings:
            where = "".join(f"\n      {name}" for name in finding.where[:_SHOWN])
            rest = len(finding.where) - _SHOWN
            more = f"\n      and {rest} more" if rest > 0 else ""
            lines.append(f"  CHANGED  {finding.culprit}: {finding.message}{where}{more}")
        if self.checked:
            lines.append(f"  checked      {', '.join(self.checked)}")
        lines += [f"  not checked  {item.what}: {item.why}" for item in self.unchecked]
        return "\n".join(lines)

    def _verdict(self) -> str:
        if not self.is_good:
            return f"NOT GOOD: {', '.join(self.culprits) or 'signer'}"
        assert self.statement is not None
        predicate = self.statement.predicate
        scores = ", ".join(f"{metric.name} {metric.value:.6g}" for metric in predicate.metrics)
        what = f"{predicate.model.name} on {predicate.benchmark.name}, task {predicate.benchmark.task_id}"
        signer = f"signed by {', '.join(self.signers)}"
        return f"GOOD: {printable(what)}: {printable(scores)}\n  record {predicate.record_id}, {signer}"


def printable(text: str) -> str:
    """`text` on one line, with nothing in it that moves a terminal's cursor."""
    shown = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[:2000])
    return shown + ("…" if len(text) > len(shown) and len(text) > 2000 else "")
