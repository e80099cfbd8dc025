"""Figures checked against hand counts and scikit-learn; baselines that learn what there is to learn."""

from __future__ import annotations

import json
import math
import random

import pytest
from sklearn.metrics import f1_score

from llmos.lab.data.errors import DataError
from llmos.lab.metrics.intervals import bits_per_byte, perplexity, ratio
from llmos.lab.metrics.labels import accuracy, macro_f1, majority
from llmos.lab.metrics.tfidf import baselines, tfidf_predictions
from llmos.lab.metrics.trigram import ByteTrigram
from llmos.lab.samples import sample


def test_bits_and_perplexity() -> None:
    found = bits_per_byte([math.log(2) * 100, math.log(2) * 300], [100, 100])
    assert found.value == pytest.approx(2.0)
    assert 1.0 <= found.low < found.high <= 3.0
    assert perplexity([math.log(8) * 5] * 4, [5] * 4).value == pytest.approx(8.0)
    assert found.named("bits_per_byte").keys() == {"bits_per_byte", "bits_per_byte_low", "bits_per_byte_high"}
    many = ratio([1.0, 3.0] * 4000, [1.0] * 8000)
    assert many.value == 2.0
    assert 0.005 < many.high - many.low < 0.1
    with pytest.raises(ValueError, match="Nothing was measured"):
        ratio([], [])


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = random.Random(5)
    held = 0
    for _ in range(60):
        right = [float(rng.random() < 0.7) for _ in range(120)]
        found = ratio(right, [1.0] * 120)
        held += found.low <= 0.7 <= found.high
    assert 0.85 <= held / 60 <= 1.0


def test_labels_agree_with_scikit_learn() -> None:
    rng = random.Random(1)
    wanted = [rng.choice("abc") for _ in range(300)]
    found = [w if rng.random() < 0.6 else rng.choice("abc") for w in wanted]
    assert accuracy(wanted, found).value == sum(w == f for w, f in zip(wanted, found, strict=True)) / 300
    score = macro_f1(wanted, found)
    assert score.value == pytest.approx(f1_score(wanted, found, average="macro"))
    assert score.low < score.value < score.high
    assert score.high - score.low < 0.15
    # Words of one text stand or fall together: ten times the same tells no more than once.
    texts = [n // 10 for n in range(300)]
    apart = macro_f1(wanted, found, groups=range(300))
    assert apart.high - apart.low == pytest.approx(score.high - score.low, rel=0.3)
    same = macro_f1(
        [w for w in wanted[:30] for _ in range(10)], [f for f in found[:30] for _ in range(10)], groups=texts
    )
    alone = macro_f1(wanted[:30], found[:30])
    assert same.high - same.low == pytest.approx(alone.high - alone.low, rel=0.3)
    assert majority(["a", "b", "b"], ["b", "a", "b", "b"]).value == 0.75


def test_the_trigram_model_is_a_distribution_and_learns() -> None:
    english = sample("english.txt").read_text(encoding="utf-8").split("\n\n")
    model = ByteTrigram(english[:120])
    context = "th"
    total = sum(2 ** -(model.bits(context + chr(code)) - model.bits(context)) for code in range(128))
    assert 0.9 < total <= 1.0 + 1e-9
    size = sum(len(text.encode()) for text in english[120:])
    held_out = sum(model.bits(text) for text in english[120:]) / size
    assert 2.3 < held_out < 3.2
    assert ByteTrigram([]).bits("abc") == pytest.approx(24.0)
    assert model.bits("") == 0.0
    assert model.bits("床") > 20


def test_baselines_of_a_classifier() -> None:
    lines = sample("centuries.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    pairs = [(row["text"], row["label"]) for row in rows]
    found = baselines(pairs[:120], pairs[120:])
    assert found["tfidf_accuracy"].value > found["majority_accuracy"].value + 0.1
    assert found["tfidf_f1"].low <= found["tfidf_f1"].value <= found["tfidf_f1"].high
    assert tfidf_predictions(["好詩", "壞文"], ["a", "b"], ["好詩好詩"]) == ["a"]
    with pytest.raises(DataError, match="the same label"):
        tfidf_predictions(["a", "b"], ["x", "x"], ["a"])
