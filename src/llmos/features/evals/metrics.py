"""What the hub knows of metrics by their names: which way is better, and the best value there can be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmos.features.repos.cards.values import as_text

_LOWER_IS_BETTER = frozenset(
    """
    perplexity word_perplexity byte_perplexity bits_per_byte bits_per_character bits_per_token loss nll ter
    wer cer ece calibration_error mse mae rmse latency latency_p50 latency_p95 joules_per_token
    repetition self_bleu preference_gap
    """.split()
)
_UP_TO_ONE = frozenset(
    """
    accuracy acc acc_norm accuracy_norm exact_match em f1 squad_f1 squad_em macro_f1 micro_f1 weighted_f1
    seqeval precision recall mcc rouge1 rouge2 rougel rougelsum choice match includes f1_binary tag_accuracy
    tag_f1 entity_f1 distinct_1 distinct_2 distinct_3 vocabulary_coverage
    """.split()
)
_UP_TO_HUNDRED = frozenset(("bleu", "chrf", "chrf++"))
# Scores that name no metric: what the frameworks of the Hub's benchmarks report.
DEFAULT_METRIC = "accuracy"


def is_higher_better(name: str) -> bool:
    """For a metric nobody knows: yes."""
    return name.lower() not in _LOWER_IS_BETTER


def ceiling_of(name: str) -> float | None:
    """The best value of a metric; None where there is none, or nobody knows."""
    key = name.lower()
    if key in _UP_TO_ONE:
        return 1.0
    return 100.0 if key in _UP_TO_HUNDRED else None


def main_metric(settings: Mapping[str, Any]) -> str:
    """The metric a task of an `eval.yaml` is ranked by: the first of `metrics`, else of `scorers`."""
    for field in ("metrics", "metric_list", "scorers"):
        value = settings.get(field)
        first = value[0] if isinstance(value, list) and value else None
        if isinstance(first, Mapping):
            first = first.get("name") or first.get("metric")
        name = as_text(first)
        if name:
            return name[:80] if field != "scorers" else DEFAULT_METRIC
    return DEFAULT_METRIC


def number_of(value: Any) -> float | None:
    """A number of an `eval.yaml`; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e300 else None


def skill_of(value: float, chance: float | None, ceiling: float | None) -> float | None:
    """How far from guessing (0) to the best there can be (1); None where no best is known.

    Below 0 is worse than guessing. A value above `ceiling` is of another scale: None.
    """
    if ceiling is None or value > ceiling * 1.000001:
        return None
    floor = chance or 0.0
    return (value - floor) / (ceiling - floor) if ceiling > floor else None
