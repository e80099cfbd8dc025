"""How well labels were found."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from llmos.lab.metrics.intervals import ROUNDS, Estimate, _draws, _estimate, ratio


def accuracy(wanted: Sequence[Hashable], found: Sequence[Hashable], *, seed: int = 0) -> Estimate:
    """The share of labels that are right."""
    right = [float(w == f) for w, f in zip(wanted, found, strict=True)]
    return ratio(right, [1.0] * len(right), seed=seed)


def macro_f1(
    wanted: Sequence[Hashable],
    found: Sequence[Hashable],
    *,
    groups: Sequence[int] | None = None,
    seed: int = 0,
) -> Estimate:
    """The mean over the labels of `wanted` of the harmonic mean of precision and recall.

    `groups` numbers the text that each label is from, where a text has several: texts are drawn anew.
    """
    import numpy as np

    labels = sorted(set(wanted) | set(found), key=str)
    if not labels:
        raise ValueError("Nothing was measured: the held-out part is empty.")
    number = {label: n for n, label in enumerate(labels)}
    cells = len(labels) ** 2
    pairs = np.array([number[w] * len(labels) + number[f] for w, f in zip(wanted, found, strict=True)])
    counts = np.bincount(pairs, minlength=cells)
    if groups is None:
        rng = np.random.Generator(np.random.PCG64(seed))
        drawn = rng.multinomial(len(pairs), counts / len(pairs), size=ROUNDS)
    else:
        texts = max(groups) + 1
        of_text = np.bincount(np.asarray(groups) * cells + pairs, minlength=texts * cells)
        drawn = _draws(texts, seed) @ of_text.reshape(texts, cells)
    shape = (-1, len(labels), len(labels))
    return _estimate(float(_macro_f1(counts.reshape(shape))[0]), _macro_f1(drawn.reshape(shape)))


def _macro_f1(confusion: Any) -> Any:
    """Of tables [round, wanted, found]; labels that a round does not hold do not count in it."""
    import numpy as np

    right = np.einsum("rii->ri", confusion)
    wanted, found = confusion.sum(axis=2), confusion.sum(axis=1)
    scores = 2 * right / np.maximum(wanted + found, 1)
    there = wanted > 0
    return (scores * there).sum(axis=1) / np.maximum(there.sum(axis=1), 1)


def majority(train: Sequence[Hashable], wanted: Sequence[Hashable]) -> Estimate:
    """The accuracy of always saying the commonest label of the training part."""
    common = max(sorted(set(train), key=str), key=list(train).count)
    return accuracy(wanted, [common] * len(wanted))
