"""The formulas by which the numbers of single samples make the figure of an evaluation.

Every metric adds up numbers of its samples and puts the sums into one of these formulas, which its
signature names (`…|agg:ratio|…`). They need nothing but the standard library, so that whoever holds a
record can work its figures out again.

Under a sample's `scores` a metric keeps `accuracy` alone (formula `mean`) or several numbers,
`bleu.correct_1`, of which a formula sees the part after the dot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

Scores = dict[str, float]
Sums = Mapping[str, float]
Formula = Callable[[Sums, float], float]

_MOST_NATS = 700.0
# Amounts of which a quantile is wanted are counted in bins, each so many times as wide as the one before.
BIN_WIDTH = 1.02
_SMALLEST = 1e-6


def recompute(name: str, signature: str, rows: Iterable[Mapping[str, float]]) -> float:
    """The figure of metric `name` from the `scores` of all samples.

    Raises KeyError when the signature names a formula that is not known here, and ValueError when
    there is no sample, or none that has the metric's numbers.
    """
    formula = FORMULAS[formula_of(signature)]
    prefix = f"{name}."
    parts: dict[str, list[float]] = {}
    count = 0
    for row in rows:
        count += 1
        for key, value in row.items():
            if key == name or key.startswith(prefix):
                parts.setdefault("" if key == name else key[len(prefix) :], []).append(value)
    if not count or not parts:
        raise ValueError(f"No sample has a number of {name}.")
    return formula({key: math.fsum(values) for key, values in parts.items()}, count)


def formula_of(signature: str) -> str:
    """The name of the formula that a signature tells; empty when it tells none."""
    return next((part[4:] for part in signature.split("|") if part.startswith("agg:")), "")


def _mean(sums: Sums, count: float) -> float:
    return sums[""] / count


def _gap(sums: Sums, count: float) -> float:
    """How far a share is from one half, 0 to 1."""
    return abs(2 * sums[""] / count - 1)


def _ratio(sums: Sums, count: float) -> float:
    below = sums["denominator"]
    return sums["numerator"] / below if below else 0.0


def _exp_ratio(sums: Sums, count: float) -> float:
    return math.exp(min(_ratio(sums, count), _MOST_NATS))


def _percent(sums: Sums, count: float) -> float:
    return 100 * sums[""] / count


def _f1(sums: Sums, count: float) -> float:
    """Of `right` among those `found` and those `wanted`."""
    both = sums["found"] + sums["wanted"]
    return 2 * sums["right"] / both if both else 0.0


def _labels(sums: Sums) -> dict[str, tuple[float, float, float]]:
    """Right, wanted and found of each label, from keys like `right.spam`."""
    names = {key.partition(".")[2] for key in sums if "." in key}
    return {
        name: (sums.get(f"right.{name}", 0), sums.get(f"wanted.{name}", 0), sums.get(f"found.{name}", 0))
        for name in names
    }


def _macro_f1(sums: Sums, count: float) -> float:
    """The mean over all labels that were wanted or found."""
    each = [2 * right / (wanted + found) for right, wanted, found in _labels(sums).values() if wanted + found]
    return math.fsum(sorted(each)) / len(each) if each else 0.0


def _mcc(sums: Sums, count: float) -> float:
    """Matthews' coefficient for any number of labels (Gorodkin 2004); 0 where it has no meaning."""
    labels = _labels(sums).values()
    total = math.fsum(wanted for _, wanted, _ in labels)
    above = total * math.fsum(right for right, _, _ in labels) - math.fsum(w * f for _, w, f in labels)
    of_found = total**2 - math.fsum(found**2 for _, _, found in labels)
    of_wanted = total**2 - math.fsum(wanted**2 for _, wanted, _ in labels)
    below = math.sqrt(max(of_found, 0.0) * max(of_wanted, 0.0))
    return above / below if below else 0.0


def _ece(sums: Sums, count: float) -> float:
    """How far confidence is from the share that is right, over bins: `right.3`, `sure.3`."""
    bins = {key.partition(".")[2] for key in sums}
    gaps = (abs(sums.get(f"right.{b}", 0.0) - sums.get(f"sure.{b}", 0.0)) for b in sorted(bins))
    return math.fsum(gaps) / count


def _bleu(sums: Sums, count: float) -> float:
    """Corpus BLEU of order 4 with exponential smoothing, as sacrebleu computes it."""
    right = [sums[f"correct_{n}"] for n in range(1, 5)]
    total = [sums[f"total_{n}"] for n in range(1, 5)]
    system, reference = sums["system_length"], sums["reference_length"]
    if not any(right) or not system:
        return 0.0
    halved, logs = 1.0, 0.0
    for found, possible in zip(right, total, strict=True):
        if not possible:
            return 0.0
        if found:
            logs += math.log(100 * found / possible)
        else:
            halved *= 2
            logs += math.log(100 / (halved * possible))
    short = math.exp(1 - reference / system) if system < reference else 1.0
    return short * math.exp(logs / 4)


def _chrf(sums: Sums, count: float) -> float:
    """chrF with recall counted twice, over the orders that both sides have, as sacrebleu computes it."""
    orders = sorted(key[6:] for key in sums if key.startswith("match_"))
    pairs = [(sums[f"match_{n}"], sums[f"found_{n}"], sums[f"wanted_{n}"]) for n in orders]
    pairs = [pair for pair in pairs if pair[1] and pair[2]]
    if not pairs:
        return 0.0
    precision = sum(match / found for match, found, _ in pairs) / len(pairs)
    recall = sum(match / wanted for match, _, wanted in pairs) / len(pairs)
    if not precision + recall:
        return 0.0
    return 100 * 5 * precision * recall / (4 * precision + recall)


def _ter(sums: Sums, count: float) -> float:
    """Edits over words of the reference; 100 where the reference is empty and the text is not."""
    edits, length = sums["edits"], sums["reference_length"]
    if length:
        return 100 * edits / length
    return 100.0 if edits else 0.0


def bin_of(amount: float) -> str:
    """The key under which a sample counts that took this much: `b` and the number of its bin."""
    return f"b{round(math.log(max(amount, _SMALLEST) / _SMALLEST, BIN_WIDTH))}"


def _quantile(share: float) -> Formula:
    def formula(sums: Sums, count: float) -> float:
        """What a share of the samples stays under, as the middle of a bin."""
        left = share * count
        for number, inside in sorted((int(key[1:]), value) for key, value in sums.items()):
            left -= inside
            if left <= 1e-9 * count:
                return float(_SMALLEST * BIN_WIDTH**number)
        raise ValueError("the samples in the bins are fewer than all samples")

    return formula


FORMULAS: dict[str, Formula] = {
    "mean": _mean,
    "percent": _percent,
    "gap": _gap,
    "ratio": _ratio,
    "exp_ratio": _exp_ratio,
    "f1": _f1,
    "macro_f1": _macro_f1,
    "mcc": _mcc,
    "ece": _ece,
    "bleu": _bleu,
    "chrf": _chrf,
    "ter": _ter,
    "p50": _quantile(0.5),
    "p95": _quantile(0.95),
}
