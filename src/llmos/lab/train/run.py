"""A run, from the recipe to the finished model."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llmos.lab.data.loader import Corpus, load
from llmos.lab.data.statistics import TokenStatistics
from llmos.lab.events import Reporter
from llmos.lab.models.build import build_model, count_parameters
from llmos.lab.models.norms import use_whole_norms
from llmos.lab.models.positions import longest_row
from llmos.lab.models.quantized import check_library
from llmos.lab.models.rotary import use_whole_rotation
from llmos.lab.objectives.make import labels_of, make_objective
from llmos.lab.outputs.energy import EnergyMeter
from llmos.lab.pace import Pace
from llmos.lab.recipes.resolve import Default, resolve
from llmos.lab.recipes.schema import PRETRAINING, TUNED_BY_TRL, Recipe
from llmos.lab.tokenizers.train import MAX_TRAIN_CHARS
from llmos.lab.train import team
from llmos.lab.train.adapters import add_adapter
from llmos.lab.train.callbacks import Course
from llmos.lab.train.checkpoint import newest_checkpoint
from llmos.lab.train.compare import simple_figures
from llmos.lab.train.device import check_compiler, pick_compiled, pick_device, pick_precision, set_threads
from llmos.lab.train.errors import OutOfMemory, TrainingStopped
from llmos.lab.train.finish import finish, pushing_checkpoints, write_recipe
from llmos.lab.train.places import cache_folder, find_base, find_tokenizer
from llmos.lab.train.samples import write_samples
from llmos.lab.train.spelling import spell
from llmos.lab.train.trainer import LabTrainer, steps_of

# Operations a second of a large card, about: runs are planned to be shorter than they will be.
_CARD_FLOPS = 2e14


@dataclass
class Run:
    """Everything a run is made of before it starts: `recipe` resolved, `written` as it was given."""

    recipe: Recipe
    defaults: list[Default]
    corpus: Corpus
    tokenizer: Any
    model: Any
    labels: list[str]
    output: Path
    cache: Path
    written: Recipe
    base: dict[str, Any] | None = None
    spelt: TokenStatistics | None = None
    meter: EnergyMeter | None = None


@dataclass
class Result:
    """What came of a run. `metrics` are those of the held-out part, `stopped` why it ended early."""

    output: Path
    steps: int
    tokens: int
    seconds: float
    parameters: int
    trained_parameters: int
    metrics: dict[str, float] = field(default_factory=dict)
    samples: list[dict[str, str]] = field(default_factory=list)
    stopped: str = ""
    revision: str = ""
    rows_per_step: int = 0
    precision: str = ""
    # With patience: the step whose weights were kept.
    best_step: int = 0

    def to_json(self) -> dict[str, Any]:
        return self.__dict__ | {"output": str(self.output)}

    def for_others(self) -> dict[str, Any]:
        """`to_json` without the place on this machine."""
        return {name: value for name, value in self.to_json().items() if name != "output"}


def prepare(
    recipe: Recipe,
    output: Path,
    reporter: Reporter,
    *,
    root: Path | None = None,
    resume: Path | None = None,
) -> Run:
    """Data, tokenizer and model of a recipe as written. Raises the errors of each.

    A checkpoint to `resume` from brings the tokenizer that was trained for it.
    """
    _be_quiet()
    full, defaults = resolve(recipe)
    if full.lora and full.lora.quantize:
        check_library()
    set_threads(full.training.threads)
    cache = cache_folder()
    reporter.phase("data")
    with Pace(reporter, "Reading", "MB read", scale=1e6) as pace:
        corpus = load(
            full.data, full.objective, cache=cache, base=root, progress=lambda _, *size: pace(*size)
        )
    reporter.say(corpus.statistics.sentence())
    reporter.phase("model")
    base = find_base(full)
    size = min(corpus.statistics.size_bytes, MAX_TRAIN_CHARS)
    with Pace(reporter, "Learning a tokenizer", "MB for the tokenizer", scale=1e6) as pace:
        tokenizer = find_tokenizer(
            full, corpus, base, kept=resume, progress=lambda done: pace(min(done, size), size)
        )
    spelt = spell(full, corpus, tokenizer, cache, reporter)
    labels = labels_of(full, corpus)
    model = make_model(full, tokenizer, labels, base)
    return Run(full, defaults, corpus, tokenizer, model, labels, output, cache, recipe, base, spelt)


def make_model(full: Recipe, tokenizer: Any, labels: list[str], base: dict[str, Any] | None) -> Any:
    """The model of a resolved recipe, its weights drawn by the recipe's seed or those of the base."""
    from transformers import set_seed

    set_seed(full.training.seed)
    model = build_model(full, tokenizer, labels, where=base["path"] if base else None)
    _fit_length(full, model)
    return model


def _be_quiet() -> None:
    """No bars and no advice between our own lines."""
    import datasets  # type: ignore[import-untyped]
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    datasets.disable_progress_bars()


def _fit_length(recipe: Recipe, model: Any) -> None:
    """Rows no longer than the model can take: a base may be shorter than the default, not than asked."""
    most = longest_row(model)
    if not most or recipe.training.sequence_length is None:
        return
    if recipe.training.sequence_length > most:
        if recipe.model.base is None or "sequence_length" in recipe.training.model_fields_set:
            raise TrainingStopped(
                f"training.sequence_length: {recipe.training.sequence_length} is longer than the model's "
                f"{most} positions. Set it to {most} or less.",
                code="SequenceTooLong",
            )
        recipe.training.sequence_length = most


def train(
    recipe: Recipe,
    output: Path,
    reporter: Reporter,
    *,
    root: Path | None = None,
    resume: Path | None = None,
    changed: Callable[[LabTrainer], None] | None = None,
) -> Result:
    """Train as the recipe says and leave the model in `output`.

    Goes on from `resume`, or from the newest whole checkpoint in `output` unless the recipe says not
    to. Raises LlmosError when something is wrong with recipe, data or base; TrainingStopped when the
    run cannot go on, after writing what was learnt. `changed` may adapt the trainer before it starts.

    In one of several processes (torchrun, Ray Train) the batch is shared among them; the first one writes
    and speaks, the others only compute.
    """
    started_at = datetime.now(UTC)
    output.mkdir(parents=True, exist_ok=True)
    start_at = _resume_from(recipe, output, resume)
    with team.joined():
        if not team.is_first():
            return _help(recipe, output, root=root, resume=start_at, changed=changed)
        with team.first_of_machine_first():
            run = prepare(recipe, output, reporter, root=root, resume=start_at)
        write_recipe(run)
        reporter.history.clear()
        reporter.draw_curves(output / "runs")
        if run.recipe.lora:
            run.model = add_adapter(run.model, run.recipe)
        run.meter = EnergyMeter()
        with run.meter, pushing_checkpoints(recipe.push, reporter, run.base):
            result = execute(run, reporter, resume=start_at, changed=changed)
    reporter.say(f"{result.steps:,} steps, {result.tokens:,} tokens in {result.seconds:.0f} s")
    reporter.phase("finish")
    result.samples = write_samples(run.recipe, run.model, run.tokenizer, run.corpus)
    for sample in result.samples:
        reporter.say(f"> {sample['prompt']}\n  {sample['text']}")
    finish(run, result, reporter, started_at=started_at, energy=run.meter.result)
    if result.stopped.startswith("error: "):
        raise TrainingStopped(result.stopped.removeprefix("error: "))
    return result


def _help(
    recipe: Recipe,
    output: Path,
    *,
    root: Path | None,
    resume: Path | None,
    changed: Callable[[LabTrainer], None] | None,
) -> Result:
    """Compute a part of each batch for the first process."""
    with Reporter(quiet=True) as silent:
        with team.first_of_machine_first():
            run = prepare(recipe, output, silent, root=root, resume=resume)
        if run.recipe.lora:
            run.model = add_adapter(run.model, run.recipe)
        return execute(run, silent, resume=resume, changed=changed)


def execute(
    run: Run,
    reporter: Reporter,
    *,
    resume: Path | None = None,
    changed: Callable[[LabTrainer], None] | None = None,
) -> Result:
    """Train `run.model`, whose weights change, and look at the held-out part; nothing is published."""
    if run.recipe.objective not in TUNED_BY_TRL:
        return _train_own(run, reporter, resume=resume, changed=changed)
    if team.size() > 1:
        raise TrainingStopped(
            f"objective: {run.recipe.objective} is trained by one process, not by {team.size()}.",
            code="OneProcessOnly",
        )
    from llmos.lab.train.tuning import tune

    result: Result = tune(run, reporter, resume=resume)
    return result


def _resume_from(recipe: Recipe, output: Path, resume: Path | None) -> Path | None:
    if resume is not None:
        return newest_checkpoint(resume) or resume
    return newest_checkpoint(output) if recipe.checkpoints.resume else None


def make_trainer(run: Run, reporter: Reporter) -> tuple[LabTrainer, Course]:
    """Our trainer over the run's objective."""
    recipe, training = run.recipe, run.recipe.training
    assert training.batch_tokens is not None
    assert training.sequence_length is not None
    with team.first_of_machine_first():
        objective = make_objective(recipe, run.corpus, run.tokenizer, run.labels, cache=run.cache)
    rows = max(1, training.batch_tokens // training.sequence_length)
    if recipe.objective not in PRETRAINING:
        # A step should see a good part of a small set of examples, not all of it at once.
        rows = max(1, min(rows, len(objective.train) // 4))
    if rows % team.size():
        rows = max(team.size(), rows - rows % team.size())
        reporter.say(f"{team.size()} processes share {rows} rows a step.")
    training.compile = _is_compiled(run, steps_of(recipe, len(objective.train), rows), reporter)
    if training.compile:  # which joins such passes itself, and across operations
        check_compiler()
    else:
        use_whole_norms(run.model)
        use_whole_rotation(run.model)
    trainer = LabTrainer(
        run.model,
        objective,
        recipe,
        folder=run.output,
        reporter=reporter,
        rows_per_step=rows,
        precision=pick_precision(training.precision, pick_device()),
        tokenizer=run.tokenizer,
    )
    course = Course(recipe, trainer.clock, reporter, tokens=lambda: trainer, meter=run.meter)
    trainer.add_callback(course)
    return trainer, course


def _is_compiled(run: Run, steps: int, reporter: Reporter) -> bool:
    """What the recipe says, otherwise what suits the machine and the length of the run."""
    training = run.recipe.training
    if run.recipe.objective not in ("clm", "mlm") or team.size() > 1:
        return bool(training.compile)  # rows of many lengths would be compiled over and over
    total, _ = count_parameters(run.model)
    planned_s = 6.0 * total * steps * (training.batch_tokens or 0) / _CARD_FLOPS
    if training.max_minutes is not None:
        planned_s = min(planned_s, 60 * training.max_minutes)
    compiled = pick_compiled(training.compile, pick_device(), planned_s)
    if compiled and training.compile is None:
        reporter.say(
            "Layers are compiled, which takes a minute or two: the run is long enough to gain by it."
        )
    return compiled


def _train_own(
    run: Run,
    reporter: Reporter,
    *,
    resume: Path | None,
    changed: Callable[[LabTrainer], None] | None,
) -> Result:
    trainer, course = make_trainer(run, reporter)
    if team.size() > 1:
        words = json.dumps(sorted(run.tokenizer.get_vocab().items()))
        team.check_same("data and tokenizer", f"{len(trainer.objective.train)} {words}")
        if trainer.shards is None:
            team.copy_weights(run.model)
    total, trained = count_parameters(run.model)
    reporter.say(f"{total:,} parameters; {len(trainer.objective.train):,} rows; {trainer.clock.describe()}")
    if trainer.objective.dropped:
        reporter.say(f"{trainer.objective.dropped:,} examples are too long and were left out.")
    reporter.phase("train")
    if changed:
        changed(trainer)
    if resume:
        reporter.say(f"Going on from {resume.name}.")
    stopped, no_room = "", False
    trainer.clock.restart(0.0)
    try:
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
        stopped = course.why_stopped
    except TrainingStopped as error:
        if team.size() > 1 and isinstance(error, OutOfMemory):
            raise  # the others still wait for this one: all must end
        # The weights are those of the last good step: worth keeping, and worth saying why.
        reporter.say(error.message)
        stopped, no_room = f"error: {error.message}", isinstance(error, OutOfMemory)
        _keep_last(trainer)
    best_step = 0 if stopped.startswith("error") else _choose_weights(trainer, course)
    can_look = len(trainer.objective.held_out) and not no_room
    metrics = trainer.evaluate(intervals=True) if can_look else {}
    metrics = {name.removeprefix("eval_"): value for name, value in metrics.items()}
    metrics |= simple_figures(run, trainer) if can_look else {}
    if trainer.shards:
        run.model = trainer.shards.whole_model()
    return Result(
        output=run.output,
        steps=trainer.state.global_step,
        tokens=trainer.tokens_seen,
        seconds=round(trainer.clock.elapsed_s, 3),
        parameters=total,
        trained_parameters=trained,
        metrics=metrics,
        stopped=stopped,
        rows_per_step=trainer.rows_per_step,
        precision=trainer.precision,
        best_step=best_step,
    )


def _choose_weights(trainer: LabTrainer, course: Course) -> int:
    """With patience the best ones, whose step is given; else their average, where there is one."""
    best_step = course.keep_best(trainer)
    if trainer.average and not best_step:
        trainer.average.put_into(trainer.model)
    return best_step


def _keep_last(trainer: LabTrainer) -> None:
    if trainer.state.global_step:
        trainer._save_checkpoint(trainer.model, None)


def write_json(path: Path, value: Any) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
    os.replace(part, path)
