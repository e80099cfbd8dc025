"""Tasks of lm-evaluation-harness's own catalogue: run by itself, recorded by us."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import llmos
from llmos.core.errors import Unavailable
from llmos.lab.evaluate.engines.base import EngineError
from llmos.lab.evaluate.opening import find_model
from llmos.lab.evaluate.recording import run_facts, write_record
from llmos.lab.evaluate.run import EvaluationResult
from llmos.lab.evaluate.tasks.schema import TaskError
from llmos.lab.events import Reporter
from llmos.lab.outputs.energy import cpu_seconds
from llmos.records import bundle, digests
from llmos.records import facts as make
from llmos.records.canonical import plain
from llmos.wire.evaluation import Cost, MetricValue, RunSettings, Sample, SampleCounts
from llmos.wire.evaluation_recipe import EvaluationRecipe, Places

FIELD = "lm_eval_task"
_FIELDS = (FIELD, "include_path")
_CHILD = Path(__file__).with_name("lm_eval_child.py")
Found = dict[str, Any]


def is_of_catalogue(recipe: EvaluationRecipe) -> bool:
    """Whether the recipe's task is one of the harness's catalogue: `definition: {lm_eval_task: NAME}`."""
    task = recipe.evaluation.task
    return task is not None and task.definition is not None and FIELD in task.definition


def evaluate_catalogue(
    recipe: EvaluationRecipe, output: Path, reporter: Reporter, *, root: Path
) -> EvaluationResult:
    """Run the task with lm-eval and its hf backend; its samples and figures become a record of ours.

    Figures that are means follow from the samples; of others the record says how lm-eval names them.
    Raises Unavailable where lm-eval is not installed, TaskError with what it said where it failed.
    """
    plan = recipe.evaluation
    assert plan.task is not None
    definition = plan.task.definition or {}
    unknown = [name for name in definition if name not in _FIELDS]
    if unknown or plan.endpoint is not None:
        raise TaskError(
            f"task.definition: {unknown[0]} is not known." if unknown else "endpoint: lm-eval needs a model."
        )
    name = str(definition[FIELD])
    reporter.phase("model")
    folder, found = find_model(plan, root)
    output.mkdir(parents=True, exist_ok=True)
    reporter.phase("evaluate")
    began, cpu = time.monotonic(), cpu_seconds()
    include = definition.get("include_path")
    request = plan.model_dump(include={"fewshot", "limit", "batch_size", "threads", "seed", "chat_template"})
    request |= {"model": str(folder), "task": name, "include_path": str(root / include) if include else None}
    given = _run(request)
    wall_s, cpu_s = time.monotonic() - began, cpu_seconds() - cpu
    reporter.phase("measure")
    samples = _samples(given)
    outcome = _outcome(recipe, given, samples, folder=folder, found=found)
    outcome = dataclasses.replace(outcome, cost=Cost(wall_s=wall_s, cpu_s=cpu_s))
    places = Places(model=str(folder.resolve()))
    place, statement = write_record(output, outcome, samples, recipe=recipe, places=places)
    result = EvaluationResult(place, statement, samples)
    reporter.say(result.describe())
    return result


def _outcome(
    recipe: EvaluationRecipe, given: Found, samples: list[Sample], *, folder: Path, found: Found
) -> bundle.Outcome:
    plan = recipe.evaluation
    assert plan.model is not None
    assert plan.task is not None
    name = str((plan.task.definition or {})[FIELD])
    task = {"lm_eval": given["config"], "version": given["version"]}
    return bundle.Outcome(
        model=make.model_facts(folder, name=found["name"], repo=plan.model.repo, revision=found["revision"]),
        benchmark=make.benchmark_facts(samples, task, name=f"lm-eval/{name}", task_id=name),
        fewshot=make.fewshot_facts(samples, count=int(given["fewshot"] or 0), seed=plan.seed),
        settings=RunSettings(
            seed=plan.seed,
            limit=plan.limit,
            batch_size=plan.batch_size,
            threads=plan.threads,
            context_policy="truncate_left",
            chat_template=bool(plan.chat_template),
            engine=f"lm-eval/{given['version']}",
        ),
        metrics=_metrics(given, samples),
        counts=SampleCounts(samples=len(samples)),
        environment=make.environment_facts(given["packages"]),
        run=run_facts(),
    )


def lm_eval_python() -> Path:
    """LLMOS_LM_EVAL_PYTHON, or the environment that `make setup-lm-eval` makes. Raises Unavailable."""
    own = os.environ.get("LLMOS_LM_EVAL_PYTHON")
    path = Path(own) if own else Path(llmos.__path__[0]).parents[1] / ".venv-lm-eval" / "bin" / "python"
    if not path.exists():
        raise Unavailable("lm-eval is not installed here. Install it with: make setup-lm-eval")
    return path


def _run(request: Found) -> Found:
    done = subprocess.run(
        [lm_eval_python(), _CHILD, json.dumps(request)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = [line for line in done.stderr.strip().splitlines() if line.strip()] or ["nothing"]
        raise TaskError(f"task: lm-eval could not run {request['task']}: {said[-1][:500]}")
    answer: Found = json.loads(done.stdout.splitlines()[-1])
    return answer


def _samples(given: Found) -> list[Sample]:
    """One for each row; the numbers of every filter side by side."""
    filters = {row.get("filter", "none") for row in given["samples"]}
    by_row: dict[int, tuple[Found, dict[str, float]]] = {}
    for row in sorted(given["samples"], key=lambda row: int(row["doc_id"])):
        _, scores = by_row.setdefault(int(row["doc_id"]), (row, {}))
        for metric in row.get("metrics", ()):
            value = row.get(metric)
            if isinstance(value, int | float):
                scores[_name(metric, row.get("filter", "none"), len(filters) > 1)] = float(value)
    return [_sample(number, row, scores) for number, (row, scores) in by_row.items()]


def _sample(number: int, row: Found, scores: dict[str, float]) -> Sample:
    asked = [
        list(part.values()) if isinstance(part, dict) else list(part) for part in _parts(row["arguments"])
    ]
    answers = [part[0] if isinstance(part, list) and part else part for part in row["resps"]]
    answers = [part[0] if isinstance(part, list) and part else part for part in answers]
    is_scored = all(isinstance(part, int | float) or _is_number(part) for part in answers)
    logprobs = [float(part) for part in answers] if is_scored else []
    ends = [str(part[1]) for part in asked if len(part) > 1 and isinstance(part[1], str)] if is_scored else []
    prompt = str(asked[0][0]) if asked and asked[0] else ""
    has_choices = len(logprobs) > 1 and len(ends) == len(logprobs)
    return Sample(
        id=str(number),
        row_sha256=digests.row_digest(row["doc"]),
        prompt_sha256=digests.prompt_digest(prompt),
        prompt=prompt,
        choices=ends,
        target=json.dumps(plain(row["target"]), ensure_ascii=False),
        output="" if is_scored else str(answers[0] if answers else ""),
        logprobs=logprobs,
        chosen=logprobs.index(max(logprobs)) if has_choices else -1,
        scores=json.dumps(scores, sort_keys=True),
    )


def _parts(arguments: Any) -> list[Any]:
    return list(arguments.values()) if isinstance(arguments, dict) else list(arguments)


def _is_number(text: Any) -> bool:
    try:
        float(text)
    except (TypeError, ValueError):
        return False
    return True


def _name(metric: str, own: str, is_one_of_many: bool) -> str:
    return f"{metric}@{own}" if is_one_of_many else metric


def _metrics(given: Found, samples: list[Sample]) -> list[MetricValue]:
    scores = [json.loads(sample.scores) for sample in samples]
    keys = [key.partition(",") for key, value in given["results"].items() if isinstance(value, int | float)]
    many = len({own for _, _, own in keys if own}) > 1
    found = []
    for metric, _, own in keys:
        if not own or metric.endswith("_stderr"):
            continue
        name, value = _name(metric, own, many), float(given["results"][f"{metric},{own}"])
        values = [row[name] for row in scores if name in row]
        is_mean = len(values) == len(scores) and abs(sum(values) / len(values) - value) < 1e-9
        signature = "|".join([name, *["agg:mean"] * is_mean, f"as:lm-eval-{given['version']}"])
        better = bool(given["higher"].get(metric, True))
        found.append(
            MetricValue(
                name=name,
                value=sum(values) / len(values) if is_mean else value,
                n=len(samples),
                signature=signature,
                higher_is_better=better,
            )
        )
    if not found:
        raise EngineError("lm-eval gave no figure for this task.")
    return found
