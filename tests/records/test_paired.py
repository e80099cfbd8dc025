"""Two systems on the same samples: p-values against scipy, ties, error rates under no difference."""

from __future__ import annotations

import random
from statistics import stdev

import pytest
from scipy.stats import binomtest

from llmos.records.aggregates import recompute
from llmos.records.paired import bands, compare
from llmos.records.resample import interval, pseudo_values

ACCURACY = "accuracy|agg:mean|v:1"
RATIO = "bits_per_byte|agg:ratio|v:1"


def rows(values: list[float]) -> list[dict[str, float]]:
    return [{"accuracy": value, "other": 3.0} for value in values]


def test_mcnemar_is_the_exact_binomial_test() -> None:
    one = [1.0] * 30 + [0.0] * 12 + [1.0] * 40
    other = [0.0] * 30 + [1.0] * 12 + [1.0] * 40
    found = compare("accuracy", ACCURACY, rows(one), rows(other))
    assert found.method == "mcnemar"
    assert found.n == 82
    assert found.difference == pytest.approx(18 / 82)
    assert found.p_value == pytest.approx(binomtest(12, 42, 0.5).pvalue, rel=1e-9)
    assert found.low < found.difference < found.high
    assert not found.is_tie
    back = compare("accuracy", ACCURACY, rows(other), rows(one))
    assert back.difference == -found.difference
    assert back.p_value == pytest.approx(found.p_value)
    same = compare("accuracy", ACCURACY, rows(one), rows(one))
    assert (same.difference, same.p_value, same.is_tie) == (0.0, 1.0, True)


def test_the_bootstrap_finds_a_difference_and_none() -> None:
    rng = random.Random(4)
    sizes = [rng.randint(50, 200) for _ in range(300)]
    hard = [rng.gauss(1.5, 0.5) for _ in sizes]

    def system(worse: float) -> list[dict[str, float]]:
        each = zip(sizes, hard, strict=True)
        bits = [(size, size * (level + worse + rng.gauss(0, 0.1))) for size, level in each]
        return [{"bits_per_byte.numerator": b, "bits_per_byte.denominator": float(size)} for size, b in bits]

    base, worse, alike = system(0.0), system(0.05), system(0.0)
    # Unpaired intervals overlap by far: documents differ more than systems do.
    found = compare("bits_per_byte", RATIO, worse, base)
    assert found.method == "bootstrap"
    assert found.p_value < 0.01
    assert found.low > 0
    expected = recompute("bits_per_byte", RATIO, worse) - recompute("bits_per_byte", RATIO, base)
    assert found.difference == pytest.approx(expected)
    assert compare("bits_per_byte", RATIO, alike, base).is_tie


def test_systems_alike_are_told_apart_as_rarely_as_said() -> None:
    rng = random.Random(9)
    wrong = 0
    for _ in range(60):
        one, other = ([rng.random() + (rng.random() < 0.5) for _ in range(80)] for _ in range(2))
        wrong += not compare("accuracy", ACCURACY, rows(one), rows(other)).is_tie
    assert wrong <= 8


def test_a_figure_follows_from_the_numbers_of_its_samples() -> None:
    bits = [{"bits_per_byte.numerator": 3.0, "bits_per_byte.denominator": 2.0, "bits_per_byte_x": 9.0}]
    assert recompute("bits_per_byte", RATIO, bits * 4) == 1.5
    with pytest.raises(ValueError, match="No sample has a number of accuracy"):
        recompute("accuracy", ACCURACY, bits)
    with pytest.raises(KeyError):
        recompute("accuracy", "accuracy|v:1", rows([1.0]))
    assert interval("accuracy", "mean", rows([1.0] * 7)) == (None, None)
    low, high = interval("accuracy", "mean", rows([0.0] * 50))
    assert low == 0.0
    assert high == pytest.approx(0.0713, abs=1e-4)


def test_pseudo_values_stand_for_samples_of_any_metric() -> None:
    assert pseudo_values("accuracy", ACCURACY, rows([1.0, 0.0, 1.0])) == pytest.approx([1.0, 0.0, 1.0])
    rng = random.Random(6)
    sizes = [rng.randint(50, 200) for _ in range(200)]
    bits = [
        {"bits_per_byte.numerator": size * rng.gauss(1.5, 0.3), "bits_per_byte.denominator": float(size)}
        for size in sizes
    ]
    found = pseudo_values("bits_per_byte", RATIO, bits)
    assert sum(found) / 200 == pytest.approx(recompute("bits_per_byte", RATIO, bits), rel=1e-3)
    # Their spread is that of the figure: the interval is the bootstrap's.
    low, high = interval("bits_per_byte", "ratio", bits)
    assert low is not None
    assert high is not None
    assert 2 * 1.96 * stdev(found) / 200**0.5 == pytest.approx(high - low, rel=0.1)
    assert pseudo_values("accuracy", ACCURACY, rows([1.0])) == [1.0]


def test_refusals_and_bands() -> None:
    with pytest.raises(ValueError, match="the same samples; there are 1 and 2"):
        compare("accuracy", ACCURACY, rows([1.0]), rows([1.0, 0.0]))
    with pytest.raises(ValueError, match="No sample has a number of f1"):
        compare("f1", ACCURACY, rows([1.0]), rows([0.0]))
    with pytest.raises(KeyError):
        compare("accuracy", "accuracy|agg:magic", rows([1.0]), rows([0.0]))
    assert bands([True, False, True, True, False]) == [1, 1, 3, 3, 3, 6]
