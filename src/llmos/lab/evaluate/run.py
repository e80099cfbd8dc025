"""An evaluation, from the recipe to the unsigned bundle."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmos.lab.evaluate.answer_log import AnswerLog
from llmos.lab.evaluate.answers import Answer, Manner, answer, outcome_of
from llmos.lab.evaluate.engines.base import Facts, NotANumber
from llmos.lab.evaluate.opening import OpenedModel, OpenedTask, manner_of, open_model, open_task
from llmos.lab.evaluate.tasks.questions import Question
from llmos.lab.events import Reporter
from llmos.lab.inputs import is_laid_out
from llmos.lab.outputs.energy import EnergyMeter
from llmos.lab.train.device import hardware, set_threads
from llmos.records import bundle, canonical, digests
from llmos.records import facts as make
from llmos.wire.evaluation import (
    Cost,
    MetricValue,
    ModelFacts,
    RunFacts,
    RunSettings,
    Sample,
    SampleCounts,
    Statement,
)
from llmos.wire.evaluation_recipe import EvaluationRecipe, Places

# Questions between two looks at the log: more share more, fewer are asked again after a kill.
CHUNK = 256
ENDPOINT_CHUNK = 16
# Where a model's repository keeps records.
BUNDLES = ".eval_results/bundles"
_JOB_ID = re.compile(r"[0-9a-f]{24}")


@dataclass(frozen=True)
class EvaluationResult:
    """What came of it: the bundle is `output`, unsigned."""

    output: Path
    statement: Statement
    samples: list[Sample]
    resumed: int = 0

    @property
    def metrics(self) -> list[MetricValue]:
        return self.statement.predicate.metrics

    def to_json(self) -> dict[str, Any]:
        predicate = self.statement.predicate
        return {
            "record_id": predicate.record_id,
            "bundle": str(self.output),
            "metrics": [metric.model_dump(mode="json") for metric in self.metrics],
            "counts": predicate.counts.model_dump(mode="json"),
            "context_policy": predicate.settings.context_policy,
            "cost": predicate.cost.model_dump(mode="json"),
            "resumed": self.resumed,
        }

    def describe(self) -> str:
        predicate = self.statement.predicate
        counts = predicate.counts
        lines = [
            f"{m.name} {m.value:.4f}" + (f" [{m.low:.4f}, {m.high:.4f}]" if m.low is not None else "")
            for m in self.metrics
        ]
        if counts.truncated:
            policy = predicate.settings.context_policy
            how = "read in windows" if policy == "stride" else "cut at the beginning"
            lines.append(
                f"{counts.truncated} of {counts.samples} samples are longer than the context: {how}."
            )
        return "\n".join([*lines, f"{counts.samples} samples, record {predicate.record_id}"])


def evaluate(
    recipe: EvaluationRecipe, output: Path, reporter: Reporter, *, root: Path | None = None
) -> EvaluationResult:
    """Ask, measure and write the bundle into `output`; relative paths of the recipe start at `root`.
    In a job the bundle is the folder `.eval_results/bundles/RECORD` of it.

    Begun again with the same recipe and output, it goes on from the answers that are there. Raises
    TaskError, EngineError, MetricError and what the hub or the endpoint answers; answers are kept.
    """
    plan, root = recipe.evaluation, root or Path.cwd()
    output.mkdir(parents=True, exist_ok=True)
    set_threads(plan.threads or None)
    with EnergyMeter() as meter:
        started = time.monotonic()
        reporter.phase("task")
        opened = open_task(plan, root)
        manner = manner_of(plan, opened.task, opened.measures)
        reporter.say(f"{opened.name}: {len(opened.questions):,} samples of {opened.task.split}")
        reporter.phase("model")
        model = open_model(plan, opened.task, root, output)
        facts, described = model.engine.facts(), _model_facts(model)
        reporter.phase("evaluate")
        about = _about(opened, described, plan.model_dump(mode="json"))
        with AnswerLog(output, about, _keys(opened.questions)) as log:
            resumed = len(log.found)
            if resumed:
                reporter.say(f"{resumed:,} samples were answered before; going on from there.")
            _ask_all(opened, model, manner, log, reporter)
        answers = [log.found[number] for number in range(len(opened.questions))]
        reporter.phase("measure")
        metrics, samples = _measure(opened, answers, plan.seed)
        wall_s = time.monotonic() - started
        model.engine.close()
    outcome = _outcome(recipe, opened, described, metrics, samples, facts=facts, manner=manner)
    outcome = dataclasses.replace(outcome, cost=_cost(meter, wall_s, model.engine.tokens))
    places = Places(model=_model_place(model), data=opened.data)
    folder, statement = _write(output, outcome, samples, recipe=recipe, places=places)
    log.remove()
    for metric in metrics:
        reporter.figure(metric.name, metric.value)
    result = EvaluationResult(folder, statement, samples, resumed)
    reporter.say(result.describe())
    return result


def _write(
    output: Path, outcome: bundle.Outcome, samples: list[Sample], *, recipe: EvaluationRecipe, places: Places
) -> tuple[Path, Statement]:
    """The bundle in `output`; in a job, whose output becomes a commit, where a repository keeps it."""
    if not is_laid_out():
        return output, bundle.write_bundle(output, outcome, samples, recipe=recipe, places=places)
    draft = output / ".draft"
    statement = bundle.write_bundle(draft, outcome, samples, recipe=recipe, places=places)
    folder = output / BUNDLES / statement.predicate.record_id
    folder.parent.mkdir(parents=True, exist_ok=True)
    return draft.replace(folder), statement


def _ask_all(
    opened: OpenedTask, model: OpenedModel, manner: Manner, log: AnswerLog, reporter: Reporter
) -> None:
    size = ENDPOINT_CHUNK if model.folder is None else CHUNK
    left = [number for number in range(len(opened.questions)) if number not in log.found]
    total = len(opened.questions)
    reporter.progress(total - len(left), total, "samples")
    for start in range(0, len(left), size):
        numbers = left[start : start + size]
        began = time.monotonic()
        given = answer(opened.task, [opened.questions[n] for n in numbers], model.engine, manner)
        each = (time.monotonic() - began) / len(numbers)
        _check_numbers(opened.questions, numbers, given)
        log.add({n: Answer(**a.to_json() | {"seconds": each}) for n, a in zip(numbers, given, strict=True)})
        reporter.progress(total - len(left) + start + len(numbers), total, "samples")


def _check_numbers(questions: Sequence[Question], numbers: Sequence[int], given: Sequence[Answer]) -> None:
    for number, one in zip(numbers, given, strict=True):
        values = [*one.logprobs, *([one.logprob] if one.logprob is not None else [])]
        if any(map(math.isnan, values)):
            raise NotANumber(f"The model's log-probability of sample {questions[number].id} is no number.")


def _measure(
    opened: OpenedTask, answers: Sequence[Answer], seed: int
) -> tuple[list[MetricValue], list[Sample]]:
    """The metrics, and the samples with the numbers these follow from."""
    outcomes = [outcome_of(opened.task, q, a) for q, a in zip(opened.questions, answers, strict=True)]
    scores: list[dict[str, float]] = [{} for _ in outcomes]
    for measure in opened.measures:
        for row, found in zip(scores, measure.metric.scores(measure.outcomes(outcomes)), strict=True):
            row.update(found)
    metrics = [measure.metric.aggregate_scores(scores, seed=seed) for measure in opened.measures]
    samples = [
        _sample(question, given, row)
        for question, given, row in zip(opened.questions, answers, scores, strict=True)
    ]
    return metrics, samples


def _sample(question: Question, given: Answer, scores: dict[str, float]) -> Sample:
    target = list(question.references) if len(question.references) > 1 else question.target
    return Sample(
        id=question.id,
        row_sha256=digests.row_digest(question.row),
        prompt_sha256=digests.prompt_digest(given.prompt),
        prompt=given.prompt,
        choices=list(question.choices),
        target=json.dumps(target, ensure_ascii=False),
        output=given.output if not given.found else json.dumps(given.found, ensure_ascii=False),
        logprobs=given.logprobs or ([given.logprob] if given.logprob is not None else []),
        chosen=given.chosen,
        scores=json.dumps(scores, sort_keys=True),
        fewshot_ids=list(question.fewshot_ids),
        truncated=given.truncated,
        tokens=given.tokens,
    )


# What a record tells


def _outcome(
    recipe: EvaluationRecipe,
    opened: OpenedTask,
    model: ModelFacts,
    metrics: list[MetricValue],
    samples: list[Sample],
    *,
    facts: Facts,
    manner: Manner,
) -> bundle.Outcome:
    task, dataset, seed = opened.task, opened.dataset, recipe.evaluation.seed
    return bundle.Outcome(
        model=model,
        benchmark=make.benchmark_facts(
            samples,
            task.as_run(),
            name=opened.name,
            task_id=task.id,
            repo=dataset.repo if dataset else None,
            revision=dataset.revision if dataset else None,
            config=task.config,
            split=task.split,
            language=task.language,
        ),
        fewshot=make.fewshot_facts(
            samples,
            count=task.fewshot.count,
            seed=seed if task.fewshot.seed is None else task.fewshot.seed,
            rows=_shown(opened.questions),
        ),
        settings=_settings(recipe, opened, manner, facts),
        metrics=metrics,
        counts=SampleCounts(samples=len(samples), truncated=sum(sample.truncated for sample in samples)),
        environment=make.environment_facts(gpus=_gpus()),
        run=_run_facts(),
    )


def _about(opened: OpenedTask, model: ModelFacts, plan: dict[str, Any]) -> dict[str, Any]:
    """What must be the same for answers to be of use. How they are computed is not among it."""
    kept = ("seed", "temperature", "chat_template", "max_new_tokens")
    return {
        "task": {k: v for k, v in opened.task.as_run().items() if k != "metrics"},
        "model": model.model_dump(mode="json", exclude={"revision", "repo", "name"}),
        "plan": {name: plan[name] for name in kept},
    }


def _keys(questions: Sequence[Question]) -> list[str]:
    """What names each question in the log: its row and its examples."""
    return [canonical.digest([q.id, digests.row_digest(q.row), *q.fewshot_ids]) for q in questions]


def _model_facts(model: OpenedModel) -> ModelFacts:
    facts = model.engine.facts()
    if model.folder is None:
        return ModelFacts(name=model.name, endpoint=facts.device, dtype="")
    return make.model_facts(
        model.folder,
        name=model.name,
        repo=model.repo,
        revision=model.revision,
        parameters=facts.parameters,
        dtype=facts.dtype,
    )


def _settings(recipe: EvaluationRecipe, opened: OpenedTask, manner: Manner, facts: Facts) -> RunSettings:
    plan, task = recipe.evaluation, opened.task
    is_written = (
        any(not question.continuations for question in opened.questions) and task.kind != "perplexity"
    )
    return RunSettings(
        seed=plan.seed,
        limit=plan.limit,
        batch_size=plan.batch_size,
        threads=plan.threads,
        dtype=facts.dtype,
        device=facts.device if facts.dtype else "endpoint",
        max_new_tokens=manner.max_new_tokens if is_written else None,
        stop=list(task.stop),
        temperature=manner.temperature,
        context_policy=task.context or "refuse",
        chat_template=manner.chat,
        engine=facts.engine,
    )


def _shown(questions: Sequence[Question]) -> dict[str, str]:
    """The digests of the examples that came from the data, not from the task itself, by id."""
    rows = {
        name: row
        for question in questions
        for name, row in zip(question.fewshot_ids, question.fewshot_rows, strict=True)
        if not name.startswith("task/")
    }
    return {name: digests.row_digest(row) for name, row in rows.items()}


def _cost(meter: EnergyMeter, wall_s: float, tokens: int) -> Cost:
    energy = meter.result
    assert energy is not None
    return Cost(
        wall_s=wall_s,
        cpu_s=energy.cpu_seconds,
        energy_wh=energy.kwh * 1000,
        energy_method="measured" if energy.method.startswith("measured") else "estimated",
        tokens=tokens,
    )


def _gpus() -> list[str]:
    found = hardware()
    return [str(found["gpu"])] * int(found["gpus"]) if "gpu" in found else []


def _run_facts() -> RunFacts:
    job = os.environ.get("LLMOS_JOB_ID", "")
    return RunFacts(
        job_id=job if _JOB_ID.fullmatch(job) else None, runner=os.environ.get("LLMOS_RUNNER") or None
    )


def _model_place(model: OpenedModel) -> str | None:
    if is_laid_out():
        return model.repo
    return model.repo or (str(model.folder.resolve()) if model.folder else None)
