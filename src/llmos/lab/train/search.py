"""A search for better values of a recipe's fields: short trials in one process, by Optuna.

Data, tokenizer and labels are made once. The first trial is the recipe as it stands, so that the table says
what the search has gained. Trials that fall behind half of the others are ended early.
"""

from __future__ import annotations

import copy
import dataclasses
import gc
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from transformers import TrainerCallback

from llmos.core.errors import Unprocessable
from llmos.lab.events import Reporter
from llmos.lab.recipes.load import dump_recipe, parse_recipe
from llmos.lab.recipes.resolve import resolve
from llmos.lab.recipes.schema import Recipe
from llmos.lab.recipes.write import with_options
from llmos.lab.train.adapters import add_adapter
from llmos.lab.train.errors import TrainingStopped
from llmos.lab.train.run import Run, execute, make_model, prepare
from llmos.lab.train.steps import free_memory

# Before this many trials, and in the first looks of one, nothing is ended early.
_PATIENT_TRIALS, _PATIENT_LOOKS = 4, 3
_NEVER_MINUTES = 1e9
_TIMES_TO_ASK = 50
ENDED_EARLY = "ended early"


@dataclass(frozen=True)
class Span:
    """What a field may be: a range, searched by magnitudes where it spans several, or a few choices."""

    low: float = 0.0
    high: float = 0.0
    is_integer: bool = False
    choices: tuple[Any, ...] = ()

    def suggest(self, trial: Any, name: str) -> Any:
        if self.choices:
            return trial.suggest_categorical(name, list(self.choices))
        log = self.low > 0 and self.high / self.low >= 8
        if self.is_integer:
            return trial.suggest_int(name, int(self.low), int(self.high), log=log)
        return trial.suggest_float(name, self.low, self.high, log=log)

    def holds(self, value: Any) -> bool:
        if self.choices:
            return value in self.choices
        return isinstance(value, int | float) and self.low <= value <= self.high


@dataclass
class Trial:
    """One run of the search. `loss` is that of the held-out part; None where the run failed."""

    number: int
    values: dict[str, Any]
    loss: float | None = None
    low: float | None = None
    high: float | None = None
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    note: str = ""

    @property
    def is_short(self) -> bool:
        return self.loss is None or self.note == ENDED_EARLY


@dataclass
class Found:
    """All trials, best first, and the recipe with the values of the best."""

    trials: list[Trial]
    best: Path
    fields: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {"trials": [dataclasses.asdict(t) for t in self.trials], "best": str(self.best)}

    def describe(self) -> str:
        heads = ["loss", "95 % interval", *self.fields, "steps", ""]
        rows = [heads, *(_cells(trial, self.fields) for trial in self.trials)]
        widths = [max(len(row[n]) for row in rows) for n in range(len(heads))]
        return "\n".join(
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows
        )


def _cells(trial: Trial, fields: list[str]) -> list[str]:
    loss = "-" if trial.loss is None else f"{trial.loss:.4f}"
    interval = "" if trial.low is None else f"{trial.low:.4f} to {trial.high:.4f}"
    values = [f"{x:.3g}" if isinstance(x := trial.values[name], float) else str(x) for name in fields]
    return [loss, interval, *values, str(trial.steps), trial.note]


def parse_span(text: str) -> tuple[str, Span]:
    """`optimiser.learning_rate=1e-4..1e-2` or `training.batch_tokens=1024,2048`. Raises Unprocessable."""
    name, sign, what = text.partition("=")
    low, dots, high = what.partition("..")
    try:
        if dots:
            is_integer = low.strip().isdigit() and high.strip().isdigit()
            span = Span(float(low), float(high), is_integer)
        else:
            span = Span(choices=tuple(yaml.safe_load(part) for part in what.split(",")))
    except (ValueError, yaml.YAMLError) as error:
        raise Unprocessable(f"--field {text}: write FIELD=LOW..HIGH or FIELD=A,B,C.") from error
    if not sign or not name or (dots and not span.low < span.high) or None in span.choices:
        raise Unprocessable(f"--field {text}: write FIELD=LOW..HIGH or FIELD=A,B,C.")
    return name, span


def usual_spans(full: Recipe) -> dict[str, Span]:
    """What is worth trying with every recipe: learning rate, batch, and the rank of an adapter."""
    rate, batch = full.optimiser.learning_rate, full.training.batch_tokens
    assert rate is not None
    assert batch is not None
    least = full.training.sequence_length or 1
    batches = tuple(b for b in (batch // 4, batch // 2, batch, batch * 2) if b >= least)
    spans = {
        "optimiser.learning_rate": Span(rate / 8, min(rate * 8, 9.9)),
        "training.batch_tokens": Span(choices=batches or (batch,)),
    }
    return spans | ({"lora.rank": Span(choices=(4, 8, 16, 32))} if full.lora else {})


def search(
    recipe: Recipe,
    output: Path,
    reporter: Reporter,
    *,
    root: Path,
    trials: int = 12,
    max_minutes: float | None = None,
    spans: dict[str, Span] | None = None,
) -> Found:
    """Try `trials` variants of `recipe`; write `best.yaml` into `output`.

    `max_minutes` is for all of them together; without it each takes as long as the recipe says. Larger
    batches get fewer steps: all see as many tokens.
    Raises what a run raises, Unprocessable for fields that are none, TrainingStopped when every trial failed.
    """
    import optuna

    written = with_options(recipe, folder=root)
    with TemporaryDirectory(prefix="llmos-search-") as folder, Reporter(quiet=True) as quiet:
        run = prepare(written, Path(folder), reporter, root=root)
        if not run.corpus.statistics.validation:
            raise Unprocessable("data.held_out: without a held-out part no trial can be called better.")
        spans = spans or usual_spans(run.recipe)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(
            sampler=optuna.samplers.TPESampler(seed=run.recipe.training.seed),
            pruner=optuna.pruners.MedianPruner(_PATIENT_TRIALS, _PATIENT_LOOKS),
        )
        usual = {name: _get(run.recipe, name) for name in spans}
        if all(span.holds(usual[name]) for name, span in spans.items()):
            study.enqueue_trial(usual)
        done: list[Trial] = []
        started = time.monotonic()
        reporter.phase("search")
        for number in range(trials):
            left = None if max_minutes is None else max_minutes - (time.monotonic() - started) / 60
            share = None if left is None else left / (trials - number)
            if share is not None and share <= 0:
                break
            asked, values = _ask(study, spans, [trial.values for trial in done])
            if values is None:
                break
            trial = Trial(number, values)
            trial.note = "as the recipe stands" if trial.values == usual else ""
            tokens = next((one.tokens for one in done if not one.is_short), 0) if share else 0
            # The first trial shows how far its time goes; the others see as many tokens, however busy
            # the machine is meanwhile, within twice the time.
            limit = min(2 * share, left) if tokens and share and left else share
            _try(run, variant(written, values, minutes=limit, tokens=tokens), trial, asked, quiet)
            _tell(study, asked, trial)
            done.append(trial)
            reporter.progress(number + 1, trials, "trials")
            reporter.say(
                f"{number + 1} of {trials}: " + "  ".join(x for x in _cells(trial, list(spans)) if x)
            )
    return _finish(done, written, list(spans), output)


def _ask(
    study: Any, spans: dict[str, Span], before: list[dict[str, Any]]
) -> tuple[Any, dict[str, Any] | None]:
    """Values that were not tried before; None when there seem to be no others."""
    from optuna.trial import TrialState

    for _ in range(_TIMES_TO_ASK):
        asked = study.ask()
        values = {name: span.suggest(asked, name) for name, span in spans.items()}
        if values not in before:
            return asked, values
        study.tell(asked, state=TrialState.FAIL)
    return None, None


def _tell(study: Any, asked: Any, trial: Trial) -> None:
    from optuna.trial import TrialState

    if trial.loss is None:
        study.tell(asked, state=TrialState.FAIL)
    elif trial.is_short:
        study.tell(asked, state=TrialState.PRUNED)
    else:
        study.tell(asked, trial.loss)


def _finish(done: list[Trial], written: Recipe, fields: list[str], output: Path) -> Found:
    good = sorted((t for t in done if t.loss is not None), key=lambda t: t.loss or 0.0)
    whole = [trial for trial in good if not trial.is_short]
    if not whole:
        why = next((trial.note for trial in done if trial.note), "there was no time for any")
        raise TrainingStopped(f"No trial came to its end: {why}")
    output.mkdir(parents=True, exist_ok=True)
    best = output / "best.yaml"
    best.write_text(dump_recipe(variant(written, whole[0].values)), encoding="utf-8")
    rest = [trial for trial in done if trial not in whole]
    return Found([*whole, *rest], best, fields)


def variant(
    written: Recipe, values: dict[str, Any], *, minutes: float | None = None, tokens: int = 0
) -> Recipe:
    """`written` with `values`, for as many tokens as it says, or for `minutes` and `tokens`.

    Raises RecipeError, naming the field.
    """
    value: dict[str, Any] = yaml.safe_load(dump_recipe(written))
    for name, chosen in values.items():
        *parts, last = name.split(".")
        place = value
        for part in parts:
            place = place.setdefault(part, {})
        place[last] = chosen
    training = value.setdefault("training", {})
    batch = values.get("training.batch_tokens")
    if minutes is not None:
        for limit in ("max_steps", "max_epochs"):
            training.pop(limit, None)
        training["max_minutes"] = minutes
        if tokens:
            size = batch or resolve(written)[0].training.batch_tokens or 1
            training["max_steps"] = max(1, round(tokens / size))
    elif batch and training.get("max_steps"):
        before = resolve(written)[0].training.batch_tokens or batch
        training["max_steps"] = max(1, round(training["max_steps"] * before / batch))
    return parse_recipe(yaml.safe_dump(value, sort_keys=False), "trial")


def _get(full: Recipe, name: str) -> Any:
    value: Any = full
    for part in name.split("."):
        value = getattr(value, part, None)
    return value


def _try(run: Run, recipe: Recipe, trial: Trial, asked: Any, quiet: Reporter) -> None:
    full, _ = resolve(recipe)
    full.checkpoints.every_minutes, full.checkpoints.every_steps = _NEVER_MINUTES, None
    mine = dataclasses.replace(run, recipe=full, written=recipe, tokenizer=copy.copy(run.tokenizer))
    watch, started = _Watch(asked), time.monotonic()
    try:
        mine.model = make_model(full, run.tokenizer, run.labels, run.base)
        if full.lora:
            mine.model = add_adapter(mine.model, full)
        result = execute(mine, quiet, changed=lambda trainer: trainer.add_callback(watch))
    except TrainingStopped as error:
        trial.note = error.message
        return
    finally:
        trial.seconds = round(time.monotonic() - started, 1)
        del mine
        gc.collect()
        free_memory()
    loss = result.metrics.get("loss", math.nan)
    trial.steps, trial.tokens = result.steps, result.tokens
    if result.stopped.startswith("error: ") or not math.isfinite(loss):
        trial.note = result.stopped.removeprefix("error: ") or "the loss is not a number"
        return
    trial.loss, trial.low, trial.high = loss, result.metrics.get("loss_low"), result.metrics.get("loss_high")
    if watch.is_behind:
        trial.note = ENDED_EARLY


class _Watch(TrainerCallback):
    """Ends a trial that is worse than half of the others were at this point."""

    def __init__(self, asked: Any) -> None:
        self._asked, self._looks = asked, 0
        self.is_behind = False

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> Any:
        loss = (metrics or {}).get("loss")
        if loss is None or not math.isfinite(loss) or self.is_behind:
            return control
        self._looks += 1
        self._asked.report(loss, self._looks)
        if self._asked.should_prune():
            self.is_behind = control.should_training_stop = True
        return control
