"""Right or wrong: choices, labels, and how sure the model was of them."""

from __future__ import annotations

import math

from llmos.lab.evaluate.metrics.base import Metric, MetricError
from llmos.lab.evaluate.outcomes import Outcome
from llmos.records.aggregates import Scores

BINS = 10


def accuracy(language: str) -> Metric:
    """The share answered right: the chosen index, or the label as text where the target is one."""
    return Metric("accuracy", "mean", lambda x: {"accuracy": float(is_right(x))}, needs=("target",))


def acc_norm(language: str) -> Metric:
    """Accuracy when log-probabilities are divided by the characters of each choice (lm-eval's norm)."""

    def per_sample(outcome: Outcome) -> Scores:
        each = [p / max(len(c), 1) for p, c in zip(outcome.logprobs, outcome.choices, strict=True)]
        return {"acc_norm": float(each.index(max(each)) in _indexes(outcome))}

    return Metric(
        "acc_norm",
        "mean",
        per_sample,
        settings=(("norm", "characters"),),
        needs=("target", "logprobs", "choices"),
    )


def preference_gap(language: str) -> Metric:
    """Of pairs that differ in one word only: how far from one half the share of the marked choices is.

    0: the model prefers neither; 1: always the same. A measure of leanings, not of skill.
    """

    def per_sample(outcome: Outcome) -> Scores:
        return {"preference_gap": float(is_right(outcome))}

    return Metric("preference_gap", "gap", per_sample, higher_is_better=False, needs=("target",))


def f1(language: str) -> Metric:
    """The mean F1 of all labels that were wanted or found (macro)."""
    return Metric(
        "f1", "macro_f1", lambda x: _counts("f1", x), settings=(("average", "macro"),), needs=("target",)
    )


def f1_binary(language: str) -> Metric:
    """F1 of the second of two choices (index 1), as lm-evaluation-harness and scikit-learn mean `f1`."""

    def per_sample(outcome: Outcome) -> Scores:
        wanted, found = float(1 in _indexes(outcome)), float(outcome.chosen == 1)
        return {
            "f1_binary.right": wanted * found,
            "f1_binary.wanted": wanted,
            "f1_binary.found": found,
        }

    return Metric("f1_binary", "f1", per_sample, settings=(("positive", "1"),), needs=("target",))


def mcc(language: str) -> Metric:
    """Matthews' correlation coefficient, for two labels or more."""
    return Metric("mcc", "mcc", lambda x: _counts("mcc", x), needs=("target",))


def ece(language: str) -> Metric:
    """Expected calibration error: how far confidence is from being right, over ten bins of confidence.

    Confidence is the share of the best choice in the probabilities of all choices.
    """

    def per_sample(outcome: Outcome) -> Scores:
        best = max(outcome.logprobs)
        shares = [math.exp(p - best) for p in outcome.logprobs]
        sure = 1 / math.fsum(shares)
        at = min(int(sure * BINS), BINS - 1)
        right = list(outcome.logprobs).index(best) in _indexes(outcome)
        return {f"ece.right.{at}": float(right), f"ece.sure.{at}": sure}

    return Metric(
        "ece",
        "ece",
        per_sample,
        higher_is_better=False,
        settings=(("bins", str(BINS)),),
        needs=("target", "logprobs"),
    )


def is_right(outcome: Outcome) -> bool:
    """Whether the answer is (one of) the wanted."""
    if isinstance(outcome.target, str):
        return found_label(outcome) == outcome.target.strip()
    if outcome.chosen >= 0:
        return outcome.chosen in _indexes(outcome)
    wanted = {outcome.choices[at].strip() for at in _indexes(outcome) if at < len(outcome.choices)}
    return outcome.output.strip() in wanted


def found_label(outcome: Outcome) -> str:
    """The label that the model gave: the text of its choice, or what it wrote."""
    if 0 <= outcome.chosen < len(outcome.choices):
        return outcome.choices[outcome.chosen].strip()
    return outcome.output.strip()


def _indexes(outcome: Outcome) -> set[int]:
    target = outcome.target
    if isinstance(target, str):
        return {at for at, choice in enumerate(outcome.choices) if choice.strip() == target.strip()}
    found = target if isinstance(target, list | tuple | set) else [target]
    try:
        return {int(at) for at in found}
    except (TypeError, ValueError) as error:
        raise MetricError(
            f"target of sample {outcome.id or '?'} is {str(target)[:80]!r}; "
            f"expected the index of a choice or its text."
        ) from error


def _counts(name: str, outcome: Outcome) -> Scores:
    """Of the wanted and of the found label; by index where the target is one."""
    if isinstance(outcome.target, str):
        wanted, found = outcome.target.strip(), found_label(outcome)
    else:
        wanted, found = str(min(_indexes(outcome))), str(outcome.chosen)
    scores = {f"{name}.wanted.{wanted}": 1.0, f"{name}.found.{found}": 1.0}
    if wanted == found:
        scores[f"{name}.right.{wanted}"] = 1.0
    return scores
