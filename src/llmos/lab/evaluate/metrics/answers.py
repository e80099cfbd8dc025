"""Written answers held against wanted ones."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable

from llmos.lab.evaluate.metrics.base import Metric
from llmos.lab.evaluate.metrics.words import cut_name, is_by_character, words
from llmos.lab.evaluate.outcomes import Outcome
from llmos.records.aggregates import Scores

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_ASCII_MARKS = str.maketrans("", "", string.punctuation)


def exact_match(language: str) -> Metric:
    """The share of answers equal to a wanted text, blanks at the ends aside."""

    def per_sample(outcome: Outcome) -> Scores:
        wanted = {text.strip() for text in outcome.wanted_texts}
        return {"exact_match": float(outcome.output.strip() in wanted)}

    return Metric(
        "exact_match",
        "mean",
        per_sample,
        settings=(("case", "mixed"), ("strip", "ends")),
        needs=("wanted_texts",),
    )


def squad_em(language: str) -> Metric:
    """Exact match after SQuAD's normalisation; the best over the wanted answers."""
    return _best("squad_em", language, lambda found, wanted: float(found == wanted))


def squad_f1(language: str) -> Metric:
    """SQuAD's F1 over words, for Chinese over characters; the best over the wanted answers."""
    return _best("squad_f1", language, shared_words)


def _best(name: str, language: str, compare: Callable[[list[str], list[str]], float]) -> Metric:
    def per_sample(outcome: Outcome) -> Scores:
        found = normal_words(outcome.output, language)
        wanted = [normal_words(text, language) for text in outcome.wanted_texts] or [[]]
        return {name: max(compare(found, each) for each in wanted)}

    return Metric(name, "mean", per_sample, settings=(("norm", f"squad-{cut_name(language)}"),))


def shared_words(found: list[str], wanted: list[str]) -> float:
    """F1 of two bags of words; no answer is right only where none is wanted."""
    if not found or not wanted:
        return float(found == wanted)
    left = list(wanted)
    shared = 0
    for word in found:
        if word in left:
            left.remove(word)
            shared += 1
    return 2 * shared / (len(found) + len(wanted))


def normal_words(text: str, language: str) -> list[str]:
    """As SQuAD's evaluation compares answers: small letters, no punctuation, no English articles.

    Chinese: one character a word, every mark of punctuation left out, wide forms as narrow ones.
    """
    if is_by_character(language):
        return words(unicodedata.normalize("NFKC", text), language)
    return _ARTICLES.sub(" ", text.lower().translate(_ASCII_MARKS)).split()
