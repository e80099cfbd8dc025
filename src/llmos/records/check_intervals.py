"""Draws the intervals of metrics again, from the samples and the seed that a statement names.

In a process of its own, with limits: drawing needs numpy, which the hub's worker does without, and the
table of a stranger's numbers may be of any size.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence

from llmos.records import interval_child
from llmos.records.report import Report
from llmos.records.resample import is_drawn_here
from llmos.records.rows import child_environment
from llmos.wire.evaluation import MetricValue, Predicate

# Sums of floats differ in their last digits between machines.
_TOLERANCE = 1e-9
TIMEOUT_S = 120
# So few are drawn here where numpy is loaded anyhow.
FEW_NUMBERS = 10_000
Ends = tuple[float | None, float | None]


def check_intervals(scores: Sequence[Mapping[str, float]], predicate: Predicate, report: Report) -> None:
    """Name every interval that is not the one the samples give; say which could not be drawn."""
    known = [metric for metric in predicate.metrics if is_drawn_here(metric.signature)]
    for metric in predicate.metrics:
        if metric not in known and (metric.low is not None or metric.high is not None):
            why = "its signature names no way of drawing that is known here"
            report.skip(f"interval of {metric.name}", why)
    if not known:
        return
    drawn = _draw(scores, known, predicate.settings.seed)
    if isinstance(drawn, str):
        report.skip("intervals of metrics", drawn)
        return
    is_one_drawn = False
    for metric, found in zip(known, drawn, strict=True):
        if isinstance(found, str):
            report.skip(f"interval of {metric.name}", found)
            continue
        is_one_drawn = True
        if not all(_same(*pair) for pair in zip((metric.low, metric.high), found, strict=True)):
            told = f"{_shown((metric.low, metric.high))} in the statement"
            report.found("interval", f"that of {metric.name} is {told}; the samples give {_shown(found)}.")
    if is_one_drawn:
        report.checked.append("intervals")


def _draw(
    scores: Sequence[Mapping[str, float]], metrics: Sequence[MetricValue], seed: int
) -> list[Ends | str] | str:
    """The ends of each interval, or why there are none; a text where nothing could be drawn at all."""
    asked = [[metric.name, metric.signature] for metric in metrics]
    request = {"seed": seed, "metrics": asked, "scores": list(scores)}
    if "numpy" in sys.modules and sum(map(len, scores)) <= FEW_NUMBERS:
        return interval_child.answer(request)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "llmos.records.interval_child"],
            input=json.dumps(request).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child_environment(),
            timeout=TIMEOUT_S,
            check=False,
        )
        answer = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return "drawing them asks for more time or memory than is given"
    if isinstance(answer, str):
        return answer
    return [found if isinstance(found, str) else (found[0], found[1]) for found in answer]


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=1e-12)


def _shown(ends: Ends) -> str:
    return "none" if ends == (None, None) else f"[{ends[0]!r}, {ends[1]!r}]"
