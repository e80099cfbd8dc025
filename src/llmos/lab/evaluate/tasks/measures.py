"""The metrics of a task: ours, and those that other harnesses define otherwise."""

from __future__ import annotations

import dataclasses
import math
import re
import string
from collections.abc import Callable, Sequence
from typing import Any

from llmos.core.errors import NotFound
from llmos.lab.evaluate.metrics import Metric, get_metric
from llmos.lab.evaluate.outcomes import Outcome
from llmos.lab.evaluate.tasks.schema import Filter, MetricChoice, Task, TaskError, View

_CHANGES: dict[str, Callable[[str], str]] = {
    "lowercase": str.lower,
    "uppercase": str.upper,
    "remove_whitespace": str.strip,
}
_REGEX = r"#### (\-?[0-9\.\,]+)"


@dataclasses.dataclass(frozen=True)
class Measure:
    """A metric and the filters that the answer passes before."""

    metric: Metric
    filters: Sequence[Filter] = ()

    def outcomes(self, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        if not self.filters:
            return outcomes
        return [dataclasses.replace(x, output=apply(self.filters, x.output)) for x in outcomes]


def measures_of(task: Task, names: Sequence[str] | None = None) -> list[Measure]:
    """Each metric over each view. Raises TaskError for one that is not known."""
    chosen = [MetricChoice(name=name) for name in names] if names else task.metric_choices()
    return [
        Measure(_named(_metric(choice, task.language), choice.name, view), view.filters)
        for view in task.all_views()
        for choice in chosen
    ]


def _metric(choice: MetricChoice, language: str) -> Metric:
    if choice.name in _OWN:
        return _OWN[choice.name](choice.settings)
    try:
        return get_metric(choice.name, language=language)
    except NotFound as error:
        raise TaskError(f"metrics: {error.message}", data={"field": "metrics"}) from error


def _named(metric: Metric, name: str, view: View) -> Metric:
    """The metric under a name of its own where several views have it."""
    if not view.name:
        return metric
    own = f"{metric.name}@{view.name}"

    def renamed(scores: dict[str, float]) -> dict[str, float]:
        return {own + key.removeprefix(metric.name): value for key, value in scores.items()}

    together = metric.together
    return dataclasses.replace(
        metric,
        name=own,
        per_sample=lambda outcome: renamed(dict(metric.per_sample(outcome))),
        together=None if together is None else lambda rows: [renamed(dict(x)) for x in together(rows)],
    )


# Filters


def apply(filters: Sequence[Filter], text: str) -> str:
    """The answer after the filters, one after the other."""
    for step in filters:
        settings = step.model_extra or {}
        if step.function == "regex":
            text = _found(text, settings)
        elif step.function == "map":
            text = str((settings.get("mapping_dict") or {}).get(text, settings.get("default_value")))
        elif step.function in _CHANGES:
            text = _CHANGES[step.function](text)
    return text


def _found(text: str, settings: dict[str, Any]) -> str:
    fallback = str(settings.get("fallback", "[invalid]"))
    matches = re.findall(settings.get("regex_pattern", _REGEX), text)
    try:
        match = matches[settings.get("group_select", 0)]
    except IndexError:
        return fallback
    if isinstance(match, tuple):
        match = next((part for part in match if part), fallback)
    return str(match).strip()


# Metrics of other harnesses


def _lm_eval_exact_match(settings: dict[str, Any]) -> Metric:
    """Equal to a wanted text, blanks counted, after what the settings take away from both."""
    ignored = [re.compile(str(pattern)) for pattern in settings.get("regexes_to_ignore") or []]

    def plain(text: str) -> str:
        for pattern in ignored:
            text = pattern.sub("", text)
        if settings.get("ignore_case"):
            text = text.lower()
        if settings.get("ignore_punctuation"):
            text = text.translate(str.maketrans("", "", string.punctuation))
        return (
            text.translate(str.maketrans("", "", string.digits)) if settings.get("ignore_numbers") else text
        )

    return Metric(
        "exact_match",
        "mean",
        lambda x: {"exact_match": float(plain(x.output) in {plain(text) for text in x.wanted_texts})},
        settings=(("as", "lm-eval"), *_shown(settings)),
        needs=("wanted_texts",),
    )


def _lm_eval_perplexity(settings: dict[str, Any]) -> Metric:
    """e to the mean loss of a sample, however long it is."""
    return Metric(
        "perplexity",
        "exp_ratio",
        lambda x: {"perplexity.numerator": -(x.logprob or 0.0), "perplexity.denominator": 1.0},
        higher_is_better=False,
        settings=(("per", "sample"),),
        needs=("logprob",),
    )


def _lm_eval_acc_bytes(settings: dict[str, Any]) -> Metric:
    """Accuracy when log-probabilities are divided by the bytes of each choice."""

    def per_sample(x: Outcome) -> dict[str, float]:
        each = [p / max(len(c.encode()), 1) for p, c in zip(x.logprobs, x.choices, strict=True)]
        wanted = x.target if isinstance(x.target, list) else [x.target]
        return {"acc_bytes": float(each.index(max(each)) in wanted)}

    return Metric("acc_bytes", "mean", per_sample, settings=(("norm", "bytes"),), needs=("logprobs",))


def _inspect_match(settings: dict[str, Any]) -> Metric:
    """The wanted text stands at the end (or begin, any, exact) of the answer."""
    where = str(settings.get("location", "end"))
    numeric, fold = bool(settings.get("numeric", False)), bool(settings.get("ignore_case", True))

    def per_sample(x: Outcome) -> dict[str, float]:
        return {
            "match": float(any(_matches(x.output, text, where, numeric, fold) for text in x.wanted_texts))
        }

    return Metric(
        "match",
        "mean",
        per_sample,
        settings=(("as", "inspect-ai"), *_shown(settings)),
        needs=("wanted_texts",),
    )


def _inspect_includes(settings: dict[str, Any]) -> Metric:
    fold = bool(settings.get("ignore_case", True))

    def per_sample(x: Outcome) -> dict[str, float]:
        answer = x.output.lower() if fold else x.output
        wanted = [text.lower() if fold else text for text in x.wanted_texts]
        return {"includes": float(any(text in answer for text in wanted))}

    return Metric(
        "includes",
        "mean",
        per_sample,
        settings=(("as", "inspect-ai"), *_shown(settings)),
        needs=("wanted_texts",),
    )


def _matches(answer: str, wanted: str, where: str, numeric: bool, fold: bool) -> bool:
    first, second = answer.strip(), wanted.strip()
    if fold:
        first, second = first.casefold(), second.casefold()
    if numeric:
        numbers = [number for word in first.split() if (number := _number(word)) is not None]
        number = _number(second)
        if number is not None:
            picked = numbers[:1] if where == "begin" else numbers[-1:] if where == "end" else numbers
            return any(math.isclose(number, found) for found in picked)
    first, second = first.strip(string.punctuation), second.strip(string.punctuation)
    if where == "begin":
        return first.startswith(second)
    if where == "end":
        return first.endswith(second)
    return first == second if where == "exact" else second in first


def _number(word: str) -> float | None:
    try:
        return float(word.strip(string.punctuation.replace("-", "") + "$€£¥%").replace(",", ""))
    except ValueError:
        return None


def _shown(settings: dict[str, Any]) -> list[tuple[str, str]]:
    """Settings as they stand in a signature, whose parts are kept apart by bars and colons."""
    return [(key, re.sub(r"[|:]", "_", str(value))) for key, value in sorted(settings.items())]


_OWN: dict[str, Callable[[dict[str, Any]], Metric]] = {
    "lm_eval_exact_match": _lm_eval_exact_match,
    "lm_eval_perplexity": _lm_eval_perplexity,
    "lm_eval_acc_bytes": _lm_eval_acc_bytes,
    "inspect_match": _inspect_match,
    "inspect_includes": _inspect_includes,
}
