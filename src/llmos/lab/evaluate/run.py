"""An evaluation, from the recipe to the unsigned bundle."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmos.lab.evaluate.answer_log import AnswerLog
from llmos.lab.evaluate.answers import Answer, Manner, answer, outcome_of
from llmos.lab.evaluate.engines.base import NotANumber
from llmos.lab.evaluate.opening import OpenedModel, OpenedTask, manner_of, open_model, open_task
from llmos.lab.evaluate.recording import (
    about,
    cost_of,
    keys_of,
    model_facts,
    model_place,
    outcome_of_run,
    sample_of,
    write_record,
)
from llmos.lab.evaluate.tasks.questions import Question
from llmos.lab.events import Reporter
from llmos.lab.outputs.energy import EnergyMeter
from llmos.lab.train.device import set_threads
from llmos.wire.evaluation import (
    MetricValue,
    Sample,
    Statement,
)
from llmos.wire.evaluation_recipe import EvaluationRecipe, Places

# Questions between two looks at the log: more share more, fewer are asked again after a kill.
CHUNK = 64
ENDPOINT_CHUNK = 16


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
        facts, described = model.engine.facts(), model_facts(model)
        reporter.phase("evaluate")
        known = about(opened, described, plan.model_dump(mode="json"))
        with AnswerLog(output, known, keys_of(opened.questions)) as log:
            resumed = len(log.found)
            if resumed:
                reporter.say(f"{resumed:,} samples were answered before; going on from there.")
            _ask_all(opened, model, manner, log, reporter, meter=meter)
        answers = [log.found[number] for number in range(len(opened.questions))]
        reporter.phase("measure")
        metrics, samples = _measure(opened, answers, plan.seed)
        wall_s = time.monotonic() - started
        model.engine.close()
    outcome = outcome_of_run(recipe, opened, described, metrics, samples, facts=facts, manner=manner)
    outcome = dataclasses.replace(outcome, cost=cost_of(meter, wall_s, model))
    places = Places(model=model_place(model), data=opened.data)
    folder, statement = write_record(output, outcome, samples, recipe=recipe, places=places)
    log.remove()
    for metric in metrics:
        reporter.figure(metric.name, metric.value)
    result = EvaluationResult(folder, statement, samples, resumed)
    reporter.say(result.describe())
    return result


def _ask_all(
    opened: OpenedTask,
    model: OpenedModel,
    manner: Manner,
    log: AnswerLog,
    reporter: Reporter,
    *,
    meter: EnergyMeter,
) -> None:
    size = ENDPOINT_CHUNK if model.folder is None else CHUNK
    left = [number for number in range(len(opened.questions)) if number not in log.found]
    total = len(opened.questions)
    reporter.bar(total - len(left), total, "samples")
    for start in range(0, len(left), size):
        numbers = left[start : start + size]
        began, (joules, _) = time.monotonic(), meter.joules()
        given = answer(opened.task, [opened.questions[n] for n in numbers], model.engine, manner)
        seconds, (now, is_metered) = time.monotonic() - began, meter.joules()
        _check_numbers(opened.questions, numbers, given)
        if model.folder is None:
            # What the machine behind the address draws, nobody here knows.
            shared = _shares(given, seconds)
        else:
            shared = _shares(given, seconds, joules=now - joules, is_metered=is_metered)
        log.add(dict(zip(numbers, shared, strict=True)))
        reporter.bar(total - len(left) + start + len(numbers), total, "samples")


def _shares(
    given: Sequence[Answer], seconds: float, *, joules: float | None = None, is_metered: bool = False
) -> list[Answer]:
    """The answers with what each took: what its engine says, else its equal share of all of them."""
    each = seconds / len(given)
    energy = None if joules is None else joules / len(given)
    return [
        dataclasses.replace(
            one,
            seconds=each if one.seconds is None else one.seconds,
            joules=energy,
            is_metered=is_metered,
        )
        for one in given
    ]


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
        sample_of(question, given, row)
        for question, given, row in zip(opened.questions, answers, scores, strict=True)
    ]
    return metrics, samples
