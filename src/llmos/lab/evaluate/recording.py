"""From what was asked and answered to the unsigned bundle."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmos.lab.evaluate.answers import Answer, Manner
from llmos.lab.evaluate.engines.base import Facts
from llmos.lab.evaluate.opening import OpenedModel, OpenedTask
from llmos.lab.evaluate.tasks.questions import Question
from llmos.lab.inputs import is_laid_out
from llmos.lab.outputs.energy import EnergyMeter
from llmos.lab.train.device import hardware
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

# Where a model's repository keeps records.
BUNDLES = ".eval_results/bundles"
_JOB_ID = re.compile(r"[0-9a-f]{24}")


def write_record(
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


def sample_of(question: Question, given: Answer, scores: dict[str, float]) -> Sample:
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


def outcome_of_run(
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
        run=run_facts(),
    )


def about(opened: OpenedTask, model: ModelFacts, plan: dict[str, Any]) -> dict[str, Any]:
    """What must be the same for answers to be of use. How they are computed is not among it."""
    kept = ("seed", "temperature", "chat_template", "max_new_tokens")
    return {
        "task": {k: v for k, v in opened.task.as_run().items() if k != "metrics"},
        "model": model.model_dump(mode="json", exclude={"revision", "repo", "name"}),
        "plan": {name: plan[name] for name in kept},
    }


def keys_of(questions: Sequence[Question]) -> list[str]:
    """What names each question in the log: its row and its examples."""
    return [canonical.digest([q.id, digests.row_digest(q.row), *q.fewshot_ids]) for q in questions]


def model_facts(model: OpenedModel) -> ModelFacts:
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


def cost_of(meter: EnergyMeter, wall_s: float, model: OpenedModel) -> Cost:
    """What it took on this machine; energy only where the model ran on it."""
    energy, tokens = meter.result, model.engine.tokens
    assert energy is not None
    if model.folder is None:
        return Cost(wall_s=wall_s, cpu_s=energy.cpu_seconds, tokens=tokens)
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


def run_facts() -> RunFacts:
    job = os.environ.get("LLMOS_JOB_ID", "")
    return RunFacts(
        job_id=job if _JOB_ID.fullmatch(job) else None, runner=os.environ.get("LLMOS_RUNNER") or None
    )


def model_place(model: OpenedModel) -> str | None:
    if is_laid_out():
        return model.repo
    return model.repo or (str(model.folder.resolve()) if model.folder else None)
