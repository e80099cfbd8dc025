"""What answers cost: time and energy. These differ between machines; a record names the machine."""

from __future__ import annotations

from llmos.lab.evaluate.metrics.base import Metric
from llmos.lab.evaluate.outcomes import Outcome
from llmos.records.aggregates import Scores


def latency(language: str) -> Metric:
    """Seconds a sample, on average."""
    return Metric(
        "latency", "mean", lambda x: {"latency": x.seconds or 0.0}, higher_is_better=False, needs=("seconds",)
    )


def tokens_per_second(language: str) -> Metric:
    def per_sample(outcome: Outcome) -> Scores:
        return {
            "tokens_per_second.numerator": float(outcome.tokens),
            "tokens_per_second.denominator": outcome.seconds or 0.0,
        }

    return Metric("tokens_per_second", "ratio", per_sample, needs=("seconds", "tokens"))


def joules_per_token(language: str) -> Metric:
    """Energy over tokens, where it was measured or estimated sample by sample."""

    def per_sample(outcome: Outcome) -> Scores:
        return {
            "joules_per_token.numerator": outcome.joules or 0.0,
            "joules_per_token.denominator": float(outcome.tokens),
        }

    return Metric("joules_per_token", "ratio", per_sample, higher_is_better=False, needs=("joules", "tokens"))
