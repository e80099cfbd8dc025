"""Metrics: each with a signature, an interval, and numbers of every sample that the figure follows from.

`get_metric(name, language=…)` gives one; `names()` lists them. Libraries are imported on first use.
"""

from __future__ import annotations

from llmos.core.errors import NotFound
from llmos.lab.evaluate.metrics.base import Metric, MetricError

__all__ = ["Metric", "MetricError", "get_metric", "names"]


def names() -> list[str]:
    """The names of all metrics."""
    from llmos.lab.evaluate.metrics.catalogue import MAKERS

    return sorted(MAKERS)


def get_metric(name: str, *, language: str = "en") -> Metric:
    """The metric of this name (or of the name that lm-evaluation-harness has for it).

    `language` chooses how texts are cut into words: Chinese (`zh…`) by characters. Raises NotFound for
    an unknown name, naming the nearest.
    """
    from llmos.lab.evaluate.metrics.catalogue import ALIASES, MAKERS, NOT_OFFERED

    wanted = ALIASES.get(name, name)
    if wanted in NOT_OFFERED:
        raise NotFound(f"Metric {name} is not offered: {NOT_OFFERED[wanted]}")
    if wanted not in MAKERS:
        raise NotFound(f"No metric is called {name}; there are: {', '.join(names())}.")
    return MAKERS[wanted](language.lower().partition("-")[0].partition("_")[0])
