"""Records of evaluations in the repositories of models of a few bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llmos.records.bundle import Outcome, sign_bundle, write_bundle
from llmos.records.digests import prompt_digest, row_digest
from llmos.records.facts import benchmark_facts, environment_facts, fewshot_facts, model_facts
from llmos.records.keys import PrivateKey
from llmos.wire.evaluation import Cost, MetricValue, RunFacts, RunSettings, Sample, SampleCounts
from llmos.wire.evaluation_recipe import EvaluationRecipe

WEIGHTS = {"model.safetensors": b"weights", "tokenizer.json": b'{"version": "1.0"}', "config.json": b"{}"}
EVAL_YAML = b"""name: Tang cloze
description: The missing word of a line.
evaluation_framework: llmos
tasks:
  - id: cloze
    split: test
    kind: multiple_choice
    language: zh
    prompt: "{{question}}"
    choices: "{{choices}}"
    target: "{{answer}}"
    metrics: [accuracy]
    chance: 0.25
"""
AT = datetime(2026, 11, 22, 12, tzinfo=UTC)


def make_rows(count: int) -> list[dict[str, Any]]:
    """Questions of four choices; the first is right."""
    return [
        {"question": f"question {number}", "choices": ["a", "b", "c", "d"], "answer": 0}
        for number in range(count)
    ]


def data_file(count: int) -> bytes:
    """The same rows as the data set holds them."""
    return "".join(json.dumps(row) + "\n" for row in make_rows(count)).encode()


def answer(right: Sequence[bool]) -> list[Sample]:
    """The questions answered; `right` says which rightly."""
    found = []
    for number, (row, is_right) in enumerate(zip(make_rows(len(right)), right, strict=True)):
        prompt = f"{row['question']}\n"
        found.append(
            Sample(
                id=f"test/{number}",
                row_sha256=row_digest(row),
                prompt_sha256=prompt_digest(prompt),
                prompt=prompt,
                choices=row["choices"],
                target="0",
                output="a" if is_right else "b",
                logprobs=[-1.0, -2.0, -3.0, -4.0],
                chosen=0 if is_right else 1,
                scores=json.dumps({"accuracy": float(is_right)}),
                tokens=8,
            )
        )
    return found


def make_record(
    folder: Path,
    right: Sequence[bool],
    *,
    model: str,
    benchmark: str,
    key: PrivateKey | None,
    files: Mapping[str, bytes] = WEIGHTS,
    revision: str | None = None,
    benchmark_revision: str | None = None,
    at: datetime = AT,
    job_id: str | None = None,
    task_id: str = "cloze",
) -> tuple[str, dict[str, bytes]]:
    """A bundle, signed if there is a key: its record's id, and its files as a model repository holds them."""
    weights, out = folder / "model", folder / "bundle"
    weights.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (weights / name).write_bytes(data)
    asked = answer(right)
    value = sum(right) / len(right)
    outcome = Outcome(
        model=model_facts(weights, name=model, repo=model, revision=revision, parameters=1000),
        benchmark=benchmark_facts(
            asked,
            {"id": task_id},
            name="Tang cloze",
            task_id=task_id,
            repo=benchmark,
            revision=benchmark_revision,
            language="zh",
        ),
        fewshot=fewshot_facts(asked, count=0, seed=17),
        settings=RunSettings(seed=17),
        metrics=[
            MetricValue(
                name="accuracy",
                value=value,
                low=max(value - 0.1, 0.0),
                high=min(value + 0.1, 1.0),
                n=len(asked),
                signature="accuracy|agg:mean",
            )
        ],
        counts=SampleCounts(samples=len(asked)),
        environment=environment_facts({"numpy": "2.0"}),
        cost=Cost(wall_s=2.0, cpu_s=3.0, energy_wh=0.5, energy_method="measured", tokens=800),
        run=RunFacts(runner="box", job_id=job_id),
        created_at=at,
    )
    plan = {"model": {"repo": model}, "benchmark": {"repo": benchmark, "task_id": task_id}}
    recipe = EvaluationRecipe.model_validate({"evaluation": plan})
    statement = write_bundle(out, outcome, asked, recipe=recipe)
    if key is not None:
        sign_bundle(out, key)
    record_id = statement.predicate.record_id
    place = f".eval_results/bundles/{record_id}"
    return record_id, {f"{place}/{path.name}": path.read_bytes() for path in sorted(out.iterdir())}


def result_file(benchmark: str, value: float, task_id: str = "cloze", **more: Any) -> bytes:
    """A `.eval_results/*.yaml` with one line."""
    entry = {"dataset": {"id": benchmark, "task_id": task_id}, "value": value, **more}
    return json.dumps([entry]).encode()
