"""Repeats a record: the recipe to run it again, and whether two runs agree sample by sample."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from llmos.records.bundle import ENVELOPE_FILE, STATEMENT_FILE, Bundle, parse_statement, read_bundle
from llmos.records.digests import locate
from llmos.records.envelope import payload_of
from llmos.records.errors import RecordError
from llmos.records.facts import SAMPLES_FILE
from llmos.records.report import printable
from llmos.records.rows import Row, parquet_rows
from llmos.wire.evaluation import Predicate, Statement
from llmos.wire.evaluation_recipe import (
    BenchmarkChoice,
    EvaluationPlan,
    EvaluationRecipe,
    ModelChoice,
    PushPlan,
    TaskChoice,
)

LOGPROB_TOLERANCE = 1e-4
# Of sums over long texts, whose last digits follow the order of adding up.
_RELATIVE_TOLERANCE = 1e-6
MAX_DIFFERENCES = 1000
_SHOWN = 8


@dataclass(frozen=True)
class SampleDifference:
    """`what` is `decision`, `output`, `log-probability`, `score` or `sample` (there in one run only)."""

    id: str
    what: str
    was: str
    now: str


@dataclass
class Comparison:
    """Two runs of one record. `inputs` names what was not the same to begin with."""

    samples: int = 0
    largest_logprob_difference: float = 0.0
    inputs: list[str] = field(default_factory=list)
    differences: list[SampleDifference] = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether the same was asked of the same model, and every sample gave the same."""
        return not self.inputs and not self.differences

    def to_json(self) -> dict[str, Any]:
        return {"agrees": self.agrees, **asdict(self)}

    def describe(self) -> str:
        lines = ["AGREES" if self.agrees else "DIFFERS"]
        lines[0] += (
            f": {self.samples} samples, log-probabilities within {self.largest_logprob_difference:.2g}"
        )
        lines += [f"  other {name} than in the record" for name in self.inputs]
        for item in self.differences[:_SHOWN]:
            lines.append(printable(f"  sample {item.id}: {item.what} was {item.was}, is {item.now}"))
        if (rest := len(self.differences) - _SHOWN) > 0:
            lines.append(f"  and {rest} more")
        lines += [f"  {m['name']}: was {m['was']:.6g}, is {m['now']:.6g}" for m in self.metrics]
        return "\n".join(lines)


def recorded_statement(bundle: Bundle) -> Statement:
    """What the bundle says: the payload of its envelope, or statement.json while it is not signed."""
    if bundle.envelope is not None:
        return parse_statement(payload_of(bundle.envelope), name=ENVELOPE_FILE)
    if bundle.statement_bytes is None:
        raise RecordError(f"{bundle.folder} holds no {STATEMENT_FILE}.", file=STATEMENT_FILE)
    return parse_statement(bundle.statement_bytes)


def recipe_again(bundle: Bundle, *, model: str | None = None, data: str | None = None) -> EvaluationRecipe:
    """The recipe of a bundle with what the statement pins: revisions, seed, examples; nothing is pushed.

    `model` (a folder or repository) and `data` (a folder, file or repository) stand in for where these
    lay. Raises RecordError when the recipe is missing, or nobody knows where the model or the data is.
    """
    if bundle.recipe is None:
        raise RecordError(f"{bundle.folder} holds no recipe.yaml that can be read.", file="recipe.yaml")
    predicate = recorded_statement(bundle).predicate
    plan = bundle.recipe.evaluation
    changes: dict[str, Any] = {"seed": predicate.settings.seed, "fewshot": predicate.fewshot.count}
    if plan.model is not None:
        changes["model"] = _model_again(plan.model, predicate, bundle.places.model, model)
    if plan.benchmark is not None:
        changes["benchmark"] = _benchmark_again(plan.benchmark, predicate, bundle.places.data, data)
    if plan.task is not None and (plan.task.files or data):
        changes["task"] = _task_again(plan.task, bundle.places.data, data)
    return EvaluationRecipe(evaluation=_changed(plan, changes), push=PushPlan())


def compare_bundles(old: Path, new: Path, *, tolerance: float = LOGPROB_TOLERANCE) -> Comparison:
    """Compare two runs sample by sample. Raises RecordError when one cannot be read."""
    before, after = (recorded_statement(read_bundle(folder)).predicate for folder in (old, new))
    found = Comparison(inputs=_other_inputs(before, after))
    for was, now in zip_longest(_samples(old), _samples(new)):
        found.samples += was is not None
        for item in _differences(was, now, tolerance, found):
            if len(found.differences) < MAX_DIFFERENCES:
                found.differences.append(item)
    values = {metric.name: metric.value for metric in after.metrics}
    found.metrics = [
        {"name": metric.name, "was": metric.value, "now": values[metric.name]}
        for metric in before.metrics
        if metric.name in values
    ]
    return found


def _changed(plan: EvaluationPlan, changes: dict[str, Any]) -> EvaluationPlan:
    return EvaluationPlan.model_validate({**plan.model_dump(exclude_unset=True), **changes})


def _model_again(
    choice: ModelChoice, predicate: Predicate, hint: str | None, given: str | None
) -> dict[str, Any]:
    value = choice.model_dump(exclude_unset=True, exclude={"repo", "revision", "path"})
    if given is None and choice.repo is not None:
        return {**value, "repo": choice.repo, "revision": predicate.model.revision or choice.revision}
    return {**value, **_place(given or _existing(hint, choice.path), "model", "--model")}


def _benchmark_again(
    choice: BenchmarkChoice, predicate: Predicate, hint: str | None, given: str | None
) -> dict[str, Any]:
    value = {"task_id": predicate.benchmark.task_id}
    if given is None and choice.repo is not None:
        return {**value, "repo": choice.repo, "revision": predicate.benchmark.revision or choice.revision}
    return {**value, **_place(given or _existing(hint, choice.path), "benchmark", "--data")}


def _task_again(choice: TaskChoice, hint: str | None, given: str | None) -> dict[str, Any]:
    value = choice.model_dump(exclude_unset=True)
    if given is not None:
        return {**value, "files": [str(Path(given).absolute())], "dataset": None, "revision": None}
    if choice.dataset is not None or all(Path(name).is_absolute() for name in choice.files):
        return value
    found = _existing(hint, None)
    if found is None:
        raise RecordError("Nobody knows where the data is on this machine: name it with --data.")
    files = [str(Path(found) / name) for name in choice.files] if Path(found).is_dir() else [found]
    return {**value, "files": files}


def _existing(*places: str | None) -> str | None:
    paths = (Path(place) for place in places if place)
    return next((str(path) for path in paths if path.is_absolute() and path.exists()), None)


def _place(given: str | None, what: str, option: str) -> dict[str, str]:
    if given is None:
        raise RecordError(f"Nobody knows where the {what} is on this machine: name it with {option}.")
    path = Path(given)
    if path.exists():
        return {"path": str(path.absolute())}
    return {"repo": given}


def _other_inputs(before: Predicate, after: Predicate) -> list[str]:
    pairs = {
        "weights": (before.model.weights_sha256, after.model.weights_sha256),
        "tokenizer": (before.model.tokenizer_sha256, after.model.tokenizer_sha256),
        "chat template": (before.model.chat_template_sha256, after.model.chat_template_sha256),
        "data rows": (before.benchmark.rows_sha256, after.benchmark.rows_sha256),
        "task": (before.benchmark.task_sha256, after.benchmark.task_sha256),
        "few-shot examples": (before.fewshot.order_sha256, after.fewshot.order_sha256),
        "prompts": (before.prompts_sha256, after.prompts_sha256),
    }
    return [name for name, (was, now) in pairs.items() if was != now]


def _samples(folder: Path) -> Iterator[Row]:
    return parquet_rows(locate(folder, SAMPLES_FILE), is_samples=True, follow_links=False)


def _differences(
    was: Row | None, now: Row | None, tolerance: float, found: Comparison
) -> Iterator[SampleDifference]:
    if was is None or now is None or was["id"] != now["id"]:
        one, other = (str(row["id"]) if row else "missing" for row in (was, now))
        yield SampleDifference(one if was else other, "sample", one, other)
        return
    if was["chosen"] != now["chosen"]:
        yield SampleDifference(was["id"], "decision", str(was["chosen"]), str(now["chosen"]))
    if was["output"] != now["output"]:
        yield SampleDifference(was["id"], "output", _short(was["output"]), _short(now["output"]))
    # Numbers that JSON has no text for arrive as their names.
    old, new = ([float(value) for value in row["logprobs"]] for row in (was, now))
    if len(old) != len(new):
        yield SampleDifference(was["id"], "log-probability", f"{len(old)} values", f"{len(new)} values")
        return
    for first, second in zip(old, new, strict=True):
        if first != second and not (math.isnan(first) and math.isnan(second)):
            gap = abs(first - second)
            found.largest_logprob_difference = max(found.largest_logprob_difference, gap)
            if not math.isclose(first, second, rel_tol=_RELATIVE_TOLERANCE, abs_tol=tolerance):
                yield SampleDifference(was["id"], "log-probability", repr(first), repr(second))


def _short(text: str) -> str:
    shown = repr(text)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"
