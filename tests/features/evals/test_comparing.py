"""Ties of metrics that are no mean: by numbers that stand for their samples."""

from __future__ import annotations

import random

from llmos.features.evals.comparing import is_tie
from llmos.records.resample import pseudo_values

SIGNATURE = "bits_per_byte|agg:ratio|v:1"


def test_bits_per_byte_are_compared_text_by_text() -> None:
    rng = random.Random(4)
    texts = [(rng.randint(50, 400), rng.gauss(1.5, 0.5)) for _ in range(200)]

    def system(worse: float) -> list[float]:
        rows = [
            {
                "bits_per_byte.numerator": size * (level + worse + rng.gauss(0, 0.1)),
                "bits_per_byte.denominator": float(size),
            }
            for size, level in texts
        ]
        return pseudo_values("bits_per_byte", SIGNATURE, rows)

    base = system(0.0)
    assert is_tie(base, system(0.0))
    # A twentieth of a bit, where texts differ by half a bit.
    assert not is_tie(base, system(0.05))
