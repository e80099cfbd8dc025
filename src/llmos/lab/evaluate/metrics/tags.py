"""Tags of words, and the entities they make."""

from __future__ import annotations

from collections.abc import Sequence

from llmos.lab.evaluate.metrics.base import Metric, MetricError
from llmos.lab.evaluate.outcomes import Outcome
from llmos.records.aggregates import Scores

Entity = tuple[str, int, int]


def tag_accuracy(language: str) -> Metric:
    """The share of words with the wanted tag; texts are drawn anew for the interval, not words."""

    def per_sample(outcome: Outcome) -> Scores:
        wanted, found = _pair(outcome)
        right = sum(w == f for w, f in zip(wanted, found, strict=True))
        return {"tag_accuracy.numerator": float(right), "tag_accuracy.denominator": float(len(wanted))}

    return Metric("tag_accuracy", "ratio", per_sample, needs=("target",))


def tag_f1(language: str) -> Metric:
    """The mean F1 of all tags (macro)."""

    def per_sample(outcome: Outcome) -> Scores:
        scores: Scores = {}
        for wanted, found in zip(*_pair(outcome), strict=True):
            keys = [f"wanted.{wanted}", f"found.{found}", *([f"right.{wanted}"] if wanted == found else [])]
            for key in keys:
                scores[f"tag_f1.{key}"] = scores.get(f"tag_f1.{key}", 0.0) + 1.0
        return scores

    return Metric("tag_f1", "macro_f1", per_sample, settings=(("average", "macro"),), needs=("target",))


def entity_f1(language: str) -> Metric:
    """F1 of whole entities, as conlleval and seqeval count them (micro; IOB, IOBES and their like)."""

    def per_sample(outcome: Outcome) -> Scores:
        wanted, found = (set(entities(tags)) for tags in _pair(outcome))
        return {
            "entity_f1.right": float(len(wanted & found)),
            "entity_f1.wanted": float(len(wanted)),
            "entity_f1.found": float(len(found)),
        }

    settings = (("average", "micro"), ("mode", "conlleval"))
    return Metric("entity_f1", "f1", per_sample, settings=settings, needs=("target",))


def entities(tags: Sequence[str]) -> list[Entity]:
    """Kind, first and last word of each entity that `tags` (`B-PER`, `I-PER`, `O` …) mark.

    An entity begins at B or S, where the kind changes, and after O or E even without a B; it ends
    before any of these and after E and S.
    """
    found: list[Entity] = []
    start, last_mark, last_kind = 0, "O", ""
    for at, tag in enumerate([*tags, "O"]):
        mark, kind = _parts(tag)
        if last_mark != "O" and (mark in "BSO" or last_mark in "ES" or kind != last_kind):
            found.append((last_kind, start, at - 1))
        if mark != "O" and (mark in "BS" or last_mark in "OES" or kind != last_kind):
            start = at
        last_mark, last_kind = mark, kind
    return found


def _parts(tag: str) -> tuple[str, str]:
    """The mark and the kind; a tag without a mark (`PER`) is a kind of its own name."""
    mark, dash, kind = tag.partition("-")
    if tag in ("O", ""):
        return "O", ""
    if mark in ("B", "I", "E", "S") and (dash or mark == tag):
        return mark, kind or "_"
    return "I", tag


def _pair(outcome: Outcome) -> tuple[list[str], list[str]]:
    wanted, found = list(outcome.target), list(outcome.found)
    if len(wanted) != len(found):
        raise MetricError(
            f"Sample {outcome.id or '?'} has {len(wanted)} words and the model gave {len(found)} tags; "
            f"each word needs one."
        )
    return wanted, found
