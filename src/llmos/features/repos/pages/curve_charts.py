"""What is drawn of runs: a chart for each tag, the last values, short names."""

from __future__ import annotations

from collections.abc import Sequence

from llmos.features.repos.event_runs import RunCurves
from llmos.ui.curves import CurveChart, Line, curve_chart, last_known

CHART_POINTS = 250


def run_labels(folders: Sequence[str]) -> dict[str, str]:
    """Folders without the beginning they share: `runs/a` and `runs/b` are `a` and `b`."""
    parts = [folder.split("/") for folder in folders]
    shared = 0
    while len(parts) > 1 and all(len(one) > shared + 1 and one[shared] == parts[0][shared] for one in parts):
        shared += 1
    return {folder: "/".join(one[shared:]) or "/" for folder, one in zip(folders, parts, strict=True)}


def tag_charts(tags: Sequence[str], labels: Sequence[str], curves: Sequence[RunCurves]) -> list[CurveChart]:
    """A chart for each tag with the line of every run, whose colour is the same in all of them."""
    charts = []
    for tag in tags:
        lines = [
            Line(label, one.points.get(tag, ()), tone)
            for tone, (label, one) in enumerate(zip(labels, curves, strict=True))
        ]
        charts.append(curve_chart(tag, lines, CHART_POINTS))
    return charts


def last_values(tags: Sequence[str], curves: Sequence[RunCurves]) -> list[tuple[str, list[float | None]]]:
    """For each tag the last value of every run."""
    return [(tag, [last_known(one.points.get(tag, ())) for one in curves]) for tag in tags]
