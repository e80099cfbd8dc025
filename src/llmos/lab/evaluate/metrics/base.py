"""What a metric is: numbers of each sample that add up, and a formula over their sums.

Because every metric is a formula over sums, its interval is one bootstrap (samples drawn anew), its
per-sample numbers fit a column of the log, and whoever has these can work it out again without the
library that made them (`llmos.records.aggregates`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmos.core.errors import Unprocessable
from llmos.lab.evaluate.outcomes import Outcome
from llmos.records.aggregates import Scores, recompute
from llmos.records.resample import DRAWN_BY, interval

if TYPE_CHECKING:
    from llmos.wire.evaluation import MetricValue

VERSION = 1
# A part of a signature that only the samples tell: how many references each of them has.
FROM_SCORES = "?"
HOW_METERED = "?metered"
# Fields of an outcome of which none means zero.
_COUNTS = ("tokens",)
_FIELD_WORDS = {"wanted_texts": "a reference that is not empty"}

Settings = tuple[tuple[str, str], ...]


class MetricError(Unprocessable):
    """A metric cannot be worked out from what a task gives; the message names the sample and the field."""

    code = "BadMetric"


@dataclass(frozen=True)
class Metric:
    """`per_sample` gives the numbers of one sample under the metric's own keys: `accuracy`, or
    `bleu.correct_1`. `formula` names what is made of their sums (`llmos.records.aggregates`).

    `together` takes the place of `per_sample` where a sample's number depends on the others.
    """

    name: str
    formula: str
    per_sample: Callable[[Outcome], Scores]
    higher_is_better: bool = True
    settings: Settings | Callable[[], Settings] = ()
    needs: tuple[str, ...] = ()
    together: Callable[[Sequence[Outcome]], list[Scores]] | None = None

    def signature(self, scores: Sequence[Mapping[str, float]] = ()) -> str:
        """All that two figures must share to be compared, in one line: `accuracy|agg:mean|…|v:1`.

        `scores` tell what only the samples know.
        """
        settings = self.settings() if callable(self.settings) else self.settings
        counts = {int(row[f"{self.name}.references"]) for row in scores if f"{self.name}.references" in row}
        metered = {bool(row.get(f"{self.name}.metered")) for row in scores}
        known = {
            FROM_SCORES: str(counts.pop()) if len(counts) == 1 else "var",
            HOW_METERED: "measured" if metered == {True} else "estimated" if metered == {False} else "mixed",
        }
        own = [f"{key}:{known.get(value, value)}" for key, value in settings]
        return "|".join([self.name, f"agg:{self.formula}", *own, DRAWN_BY, f"v:{VERSION}"])

    def scores(self, outcomes: Sequence[Outcome]) -> list[Scores]:
        """The numbers of each sample, as the log keeps them.

        Raises MetricError for a field that the task does not give and for a number that is none.
        """
        for outcome in outcomes:
            self._check(outcome)
        made = self.together(outcomes) if self.together else [self.per_sample(x) for x in outcomes]
        for outcome, scores in zip(outcomes, made, strict=True):
            for key, value in scores.items():
                if not math.isfinite(value):
                    raise MetricError(
                        f"{key} of sample {outcome.id or '?'} is {value}; the model gave no number."
                    )
        return made

    def aggregate(self, outcomes: Sequence[Outcome], *, seed: int = 0) -> MetricValue:
        """The figure over all samples with its 95 % interval; raises MetricError as `scores` does."""
        return self.aggregate_scores(self.scores(outcomes), seed=seed)

    def aggregate_scores(self, scores: Sequence[Mapping[str, float]], *, seed: int = 0) -> MetricValue:
        """The same from what `scores` gave (keys of other metrics are passed over).

        Without an interval when there are fewer than 8 samples: the spread of fewer says nothing.
        """
        from llmos.wire.evaluation import MetricValue

        if not scores:
            raise MetricError(f"{self.name}: nothing was measured, the benchmark gave no sample.")
        below = f"{self.name}.denominator"
        if any(below in row for row in scores) and not any(row.get(below) for row in scores):
            raise MetricError(f"{self.name}: nothing was measured; all samples are empty.")
        signature = self.signature(scores)
        low, high = interval(self.name, self.formula, scores, seed=seed)
        return MetricValue(
            name=self.name,
            value=recompute(self.name, signature, scores),
            low=low,
            high=high,
            n=len(scores),
            signature=signature,
            higher_is_better=self.higher_is_better,
        )

    def _check(self, outcome: Outcome) -> None:
        for field in self.needs:
            value: Any = getattr(outcome, field)
            if _is_missing(field, value):
                raise MetricError(
                    f"{self.name} needs {_FIELD_WORDS.get(field, field)}, "
                    f"which sample {outcome.id or '?'} does not have. "
                    f"Name another metric under `metrics`, or give the task the field."
                )
        if any(map(math.isnan, outcome.logprobs)):
            raise MetricError(f"A log-probability of sample {outcome.id or '?'} is NaN; the model is broken.")


def _is_missing(field: str, value: Any) -> bool:
    if isinstance(value, str | list | tuple):
        return not any(str(part).strip() for part in value) if field == "wanted_texts" else len(value) == 0
    return value is None or (field in _COUNTS and not value)
