"""How well a model foretells a text."""

from __future__ import annotations

import math

from llmos.lab.evaluate.metrics.base import Metric
from llmos.lab.evaluate.outcomes import Outcome
from llmos.records.aggregates import Scores


def _over(name: str, formula: str, unit: str, scale: float = 1.0) -> Metric:
    def per_sample(outcome: Outcome) -> Scores:
        cost = -(outcome.logprob or 0.0) * scale
        return {f"{name}.numerator": cost, f"{name}.denominator": float(getattr(outcome, unit))}

    settings = (("per", unit.removeprefix("size_")), ("log", "2" if scale != 1.0 else "e"))
    return Metric(name, formula, per_sample, higher_is_better=False, settings=settings, needs=("logprob",))


def perplexity(language: str) -> Metric:
    """e to the mean loss a token: only for models of the same tokenizer."""
    return _over("perplexity", "exp_ratio", "tokens")


def word_perplexity(language: str) -> Metric:
    """e to the loss a word (runs between blanks), as lm-evaluation-harness counts."""
    return _over("word_perplexity", "exp_ratio", "words")


def byte_perplexity(language: str) -> Metric:
    return _over("byte_perplexity", "exp_ratio", "size_bytes")


def bits_per_byte(language: str) -> Metric:
    """Comparable between models of any tokenizer, for texts of one language."""
    return _over("bits_per_byte", "ratio", "size_bytes", 1 / math.log(2))


def bits_per_character(language: str) -> Metric:
    return _over("bits_per_character", "ratio", "characters", 1 / math.log(2))
