"""How varied texts are, and how much of a text a vocabulary knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from llmos.lab.evaluate.metrics.base import Metric
from llmos.lab.evaluate.metrics.words import Gram, cut_name, grams, words
from llmos.lab.evaluate.outcomes import Outcome
from llmos.records.aggregates import FORMULAS, Scores

REPEATED = 4


def distinct(size: int) -> Callable[[str], Metric]:
    """The maker of `distinct_1` to `distinct_3`: different runs of words over all, within each text.

    Within, because over many texts together the figure falls with their number.
    """
    name = f"distinct_{size}"

    def make(language: str) -> Metric:
        def per_sample(outcome: Outcome) -> Scores:
            found = grams(words(outcome.output, language), size)
            return {f"{name}.numerator": float(len(found)), f"{name}.denominator": float(found.total())}

        return Metric(name, "ratio", per_sample, settings=(("tok", cut_name(language)),))

    return make


def repetition(language: str) -> Metric:
    """The share of runs of four words that were there before in the same text. Lower is better."""

    def per_sample(outcome: Outcome) -> Scores:
        found = grams(words(outcome.output, language), REPEATED)
        again = float(found.total() - len(found))
        return {"repetition.numerator": again, "repetition.denominator": float(found.total())}

    settings = (("n", str(REPEATED)), ("tok", cut_name(language)))
    return Metric("repetition", "ratio", per_sample, higher_is_better=False, settings=settings)


def self_bleu(language: str) -> Metric:
    """BLEU of each text against all others, on average: high where a model says the same again and again."""

    def together(outcomes: Sequence[Outcome]) -> list[Scores]:
        return [
            {"self_bleu": value} for value in _against_others([words(x.output, language) for x in outcomes])
        ]

    def alone(outcome: Outcome) -> Scores:
        return {"self_bleu": 0.0}

    settings = (("tok", cut_name(language)), ("smooth", "exp"))
    return Metric("self_bleu", "mean", alone, higher_is_better=False, settings=settings, together=together)


def _against_others(texts: list[list[str]]) -> list[float]:
    """In time linear in the texts: of each run of words only the two texts with most of it matter."""
    most: list[dict[Gram, tuple[int, int, int]]] = [{} for _ in range(4)]
    counts = [[grams(text, size) for size in range(1, 5)] for text in texts]
    for number, of_text in enumerate(counts):
        for table, found in zip(most, of_text, strict=True):
            _note(table, found, number)
    lengths = Counter(len(text) for text in texts)
    return [
        FORMULAS["bleu"](_sums(number, text, counts[number], most, lengths), 1.0)
        for number, text in enumerate(texts)
    ]


def _note(table: dict[Gram, tuple[int, int, int]], found: Counter[Gram], number: int) -> None:
    """Keep the largest count, whose it is, and the largest of any other text."""
    for gram, count in found.items():
        first, owner, second = table.get(gram, (0, -1, 0))
        table[gram] = (count, number, first) if count > first else (first, owner, max(second, count))


def _sums(
    number: int,
    text: list[str],
    counts: list[Counter[Gram]],
    most: list[dict[Gram, tuple[int, int, int]]],
    lengths: Counter[int],
) -> dict[str, float]:
    own = len(text)
    others = [size for size, times in lengths.items() if times > (size == own)] or [own]
    sums = {
        "system_length": float(own),
        "reference_length": float(min(others, key=lambda size: (abs(size - own), size))),
    }
    for size, (found, table) in enumerate(zip(counts, most, strict=True), 1):
        right = 0
        for gram, count in found.items():
            first, owner, second = table[gram]
            right += min(count, second if owner == number else first)
        sums[f"correct_{size}"], sums[f"total_{size}"] = float(right), float(found.total())
    return sums


def vocabulary_coverage(language: str) -> Metric:
    """The share of tokens that the vocabulary knows; 1 for every byte-level tokenizer."""

    def per_sample(outcome: Outcome) -> Scores:
        return {
            "vocabulary_coverage.numerator": float(outcome.tokens - outcome.unknown_tokens),
            "vocabulary_coverage.denominator": float(outcome.tokens),
        }

    return Metric("vocabulary_coverage", "ratio", per_sample, needs=("tokens",))
