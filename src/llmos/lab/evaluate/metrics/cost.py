"""What answers cost: time and energy. These differ between machines; a record names the machine."""

from __future__ import annotations

from collections.abc import Callable

from llmos.lab.evaluate.metrics.base import HOW_METERED, Metric
from llmos.lab.evaluate.outcomes import Outcome
from llmos.records.aggregates import BIN_WIDTH, Scores, bin_of


def latency(language: str) -> Metric:
    """Seconds a sample, on average."""
    return Metric(
        "latency", "mean", lambda x: {"latency": x.seconds or 0.0}, higher_is_better=False, needs=("seconds",)
    )


def latency_quantile(percent: int) -> Callable[[str], Metric]:
    """Seconds that `percent` of the samples stay under. Each counts in a bin, as sums have no order."""
    name = f"latency_p{percent}"

    def make(language: str) -> Metric:
        def per_sample(outcome: Outcome) -> Scores:
            return {f"{name}.{bin_of(outcome.seconds or 0.0)}": 1.0}

        settings = (("within", f"{BIN_WIDTH - 1:.0%}"),)
        needs = ("seconds",)
        return Metric(name, f"p{percent}", per_sample, False, settings=settings, needs=needs)

    return make


def tokens_per_second(language: str) -> Metric:
    def per_sample(outcome: Outcome) -> Scores:
        return {
            "tokens_per_second.numerator": float(outcome.tokens),
            "tokens_per_second.denominator": outcome.seconds or 0.0,
        }

    return Metric("tokens_per_second", "ratio", per_sample, needs=("seconds", "tokens"))


def joules_per_token(language: str) -> Metric:
    """Energy over tokens: the counters of the machine, else 12 W a busy core; the signature says which."""

    def per_sample(outcome: Outcome) -> Scores:
        return {
            "joules_per_token.numerator": outcome.joules or 0.0,
            "joules_per_token.denominator": float(outcome.tokens),
            "joules_per_token.metered": float(outcome.is_metered),
        }

    settings = (("energy", HOW_METERED),)
    needs = ("joules", "tokens")
    return Metric("joules_per_token", "ratio", per_sample, False, settings=settings, needs=needs)
