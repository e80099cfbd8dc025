"""Charts of curves: a common grid, scale of the axis, numbers that can be read."""

from __future__ import annotations

import pytest

from llmos.ui.charts import WIDTH, line_plot, table_rows
from llmos.ui.curves import Line, curve_chart
from llmos.ui.filters import figure
from llmos.ui.views import Series


def test_rare_points_stay_when_a_long_curve_is_thinned() -> None:
    train = Line("train", [(step, 5.0 - step / 10_000) for step in range(10_000)])
    rare = Line("eval", [(step, 3.0) for step in range(1_003, 10_000, 1_003)], tone=5)
    chart = curve_chart("loss", [train, rare], max_points=100)
    assert len(chart.labels) == 100
    assert chart.labels[-1] == 9_999
    assert sum(value is not None for value in chart.series[1].values) == len(rare.points)
    assert None not in chart.series[0].values
    assert chart.series[1].tone == 5
    assert chart.last == "train 4, eval 3"


def test_values_that_are_not_numbers_are_gaps() -> None:
    chart = curve_chart("loss", [Line("a", [(1, float("nan")), (2, None), (3, 2.5), (4, float("inf"))])])
    assert chart.series[0].values == [None, None, 2.5, None]
    assert chart.last == "a 2.5"
    assert curve_chart("none", []).labels == []


def test_the_axis_is_to_scale_where_labels_are_numbers() -> None:
    line = [Series("a", [1.0, 2.0, 3.0])]
    assert line_plot(line, [0, 90, 100]).paths[0].startswith(f"M0 100 L{WIDTH * 0.9:g} 50 ")
    assert line_plot(line, ["x", "y", "z"]).paths[0].startswith(f"M0 100 L{WIDTH / 2:g} 50 ")
    assert line_plot([Series("a", [1.0])], [7]).paths == ["M0 50h0"]


def test_long_tables_keep_first_and_last() -> None:
    assert table_rows(3, 8) == [0, 1, 2]
    rows = table_rows(400, 8)
    assert (len(rows), rows[0], rows[-1]) == (50, 0, 399)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0003, "0.0003"), (1e-6, "1e-06"), (2.34567, "2.346"), (12345.6, "12,346"), (0, "0"), (-5, "-5")],
)
def test_figures(value: float, text: str) -> None:
    assert figure(value) == text
