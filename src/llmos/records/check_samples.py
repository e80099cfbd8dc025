"""Checks samples.parquet and the metrics against what a statement says of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from llmos.records import digests
from llmos.records.aggregates import formula_of, recompute
from llmos.records.bundle import refuse_shape
from llmos.records.canonical import canonical, parse
from llmos.records.check_intervals import check_intervals
from llmos.records.errors import RecordError
from llmos.records.facts import SAMPLES_FILE, samples_root
from llmos.records.merkle import leaf_hash
from llmos.records.report import Culprit, Report
from llmos.records.rows import parquet_rows
from llmos.wire.evaluation import Predicate, Sample

MAX_SAMPLES = 1_000_000
_TOLERANCE = 1e-9


@dataclass
class SampleFacts:
    """What is needed of samples.parquet, without the texts."""

    ids: list[str] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    fewshot: list[list[str]] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    scores: list[dict[str, float]] = field(default_factory=list)
    # Positions of samples whose content is not that of their leaf, whose prompt is not that of its digest.
    changed: list[int] = field(default_factory=list)
    other_prompts: list[int] = field(default_factory=list)


def check_samples(folder: Path, predicate: Predicate, report: Report) -> SampleFacts | None:
    """Name every sample, prompt, data row and few-shot order that is not what was signed.

    The facts, or None when samples.parquet cannot be read.
    """
    path = digests.locate(folder, SAMPLES_FILE)
    try:
        facts = _read(path, min(MAX_SAMPLES, predicate.samples.count))
        file_sha256 = digests.hash_file(path).sha256
    except RecordError as error:
        report.found("samples", error.message, [SAMPLES_FILE])
        return None
    before = len(report.findings)
    _compare(facts, predicate, report)
    if len(report.findings) == before and file_sha256 != predicate.samples.file_sha256:
        report.found("samples", f"{SAMPLES_FILE} says the same in other bytes than were signed.")
    report.checked += ["answers", "prompts", "data rows as asked", "few-shot order"]
    return facts


def check_metrics(facts: SampleFacts | None, predicate: Predicate, report: Report) -> None:
    """Work every metric out again from the scores of the samples, where these are what was signed."""
    is_whole = facts is not None and samples_root(facts.leaves) == predicate.samples.merkle_root
    if facts is None or not is_whole or facts.changed:
        report.skip("metrics", "the samples they follow from are not those that were signed")
        return
    worked_out = 0
    for metric in predicate.metrics:
        if metric.n != len(facts.scores):
            text = (
                f"{metric.name} is of {metric.n:,} samples in the statement; there are {len(facts.scores):,}."
            )
            report.found("metric", text)
        try:
            value = recompute(metric.name, metric.signature, facts.scores)
        except KeyError:
            formula = formula_of(metric.signature) or "none named"
            report.skip(f"metric {metric.name}", f"its formula is not known here ({formula})")
            continue
        except (ValueError, ArithmeticError) as error:
            report.found("metric", f"{metric.name} does not follow from the samples: {error}.")
            continue
        worked_out += 1
        if not math.isclose(value, metric.value, rel_tol=_TOLERANCE, abs_tol=1e-12):
            text = f"{metric.name} is {metric.value!r} in the statement; the samples give {value!r}."
            report.found("metric", text)
    if worked_out:
        report.checked.append("metrics")
    check_intervals(facts.scores, predicate, report)


def _read(path: Path, most: int) -> SampleFacts:
    facts = SampleFacts()
    for number, row in enumerate(parquet_rows(path, is_samples=True, follow_links=False)):
        if number == most:
            raise RecordError(f"{path.name} holds more than the {most:,} samples it may.", file=path.name)
        declared = row.pop("leaf_sha256")
        sample = _as_sample(row, number)
        facts.ids.append(sample.id)
        facts.rows.append(sample.row_sha256)
        facts.prompts.append(sample.prompt_sha256)
        facts.fewshot.append(sample.fewshot_ids)
        facts.scores.append(_as_scores(sample, number))
        # The reader has made the row plain already.
        if leaf_hash(canonical(row)).hex() != declared:
            facts.changed.append(number)
        facts.leaves.append(_as_hash(declared, number))
        if digests.prompt_digest(sample.prompt) != sample.prompt_sha256:
            facts.other_prompts.append(number)
    return facts


def _compare(facts: SampleFacts, predicate: Predicate, report: Report) -> None:
    other_prompts = set(facts.other_prompts)
    changed = [number for number in facts.changed if number not in other_prompts]
    if len(facts.ids) != predicate.samples.count:
        # Every digest over all samples differs then, and tells nothing.
        text = f"{len(facts.ids)} samples are there, {predicate.samples.count} were signed."
        report.found("answer", text, _named(facts, facts.changed))
        return
    culprits: list[tuple[Culprit, str]] = []
    if digests.rows_digest(facts.rows) != predicate.benchmark.rows_sha256:
        culprits.append(("data row", "the rows that were asked are not those that were signed"))
    if digests.fewshot_digest(facts.fewshot) != predicate.fewshot.order_sha256:
        culprits.append(("few-shot order", "the examples, or their order, are not those that were signed"))
    if facts.other_prompts:
        where = _named(facts, facts.other_prompts)
        report.found("prompt", "this is not what the model read:", where)
    elif digests.prompts_digest(facts.prompts) != predicate.prompts_sha256:
        culprits.append(("prompt", "the prompts are not those that were signed"))
    for culprit, message in culprits:
        report.found(culprit, f"{message}:" if changed else f"{message}.", _named(facts, changed))
    if culprits or (facts.other_prompts and not changed):
        return
    if changed:
        report.found("answer", "this is not what the model answered:", _named(facts, changed))
    elif samples_root(facts.leaves) != predicate.samples.merkle_root:
        report.found("answer", "an answer, or the order of the samples, is not what was signed.")


def _named(facts: SampleFacts, numbers: Iterable[int]) -> list[str]:
    return [f"sample {facts.ids[number]} (row {number} of {SAMPLES_FILE})" for number in numbers]


def _as_sample(row: dict[str, Any], number: int) -> Sample:
    # Numbers that JSON has no text for arrive as their names.
    row_values = {**row, "logprobs": [float(value) for value in row["logprobs"]]}
    try:
        return Sample.model_validate(row_values)
    except ValidationError as error:
        raise refuse_shape(error, f"{SAMPLES_FILE}, row {number}") from error


def _as_scores(sample: Sample, number: int) -> dict[str, float]:
    name = f"{SAMPLES_FILE}, row {number}, scores"
    value = parse(sample.scores.encode("utf-8", "replace"), name=name)
    if not isinstance(value, dict):
        raise RecordError(f"{name} is no object of numbers.", file=SAMPLES_FILE)
    for key, item in value.items():
        if isinstance(item, bool) or not isinstance(item, int | float) or abs(item) > 1e300:
            raise RecordError(f"{name}: {key} is no number that can be added up.", file=SAMPLES_FILE)
    return value


def _as_hash(text: str, number: int) -> bytes:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise RecordError(f"{SAMPLES_FILE}, row {number}, leaf_sha256 is no SHA-256.", file=SAMPLES_FILE)
    return raw
