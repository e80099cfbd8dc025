"""What simple ways reach on the held-out examples that the model was asked: a figure means little alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmos.lab.metrics.intervals import FEWEST
from llmos.lab.metrics.tfidf import baselines
from llmos.lab.objectives.base import held_out_batches, held_out_numbers
from llmos.lab.objectives.language import unigram_loss
from llmos.lab.objectives.make import token_caches
from llmos.lab.recipes.schema import PRETRAINING
from llmos.lab.train import team

# TF-IDF reads a million characters a second or so: it may take seconds, not minutes.
_MOST_CHARS, _MOST_TEXTS, _MOST_LABELS = 8_000_000, 20_000, 20


def simple_figures(run: Any, trainer: Any) -> dict[str, float]:
    """`unigram_loss` after pre-training, `tfidf_accuracy` and `tfidf_f1` after classification.

    There must be held-out examples.
    """
    if run.recipe.objective in PRETRAINING:
        return _unigram(run, trainer)
    if run.recipe.objective == "classify" and team.is_first():
        return _classifier(run, trainer)
    return {}


def _unigram(run: Any, trainer: Any) -> dict[str, float]:
    """The loss of a model that knows only how frequent tokens are, over the same targets."""
    train, _ = token_caches(run.recipe, run.corpus, run.tokenizer, run.cache)
    looked = run.recipe.evaluation.max_examples
    rows = held_out_batches(trainer.objective, 16, looked, run.recipe.training.seed)
    return {"unigram_loss": unigram_loss(train, rows, run.tokenizer.all_special_ids)}


def _classifier(run: Any, trainer: Any) -> dict[str, float]:
    train = _pairs(trainer.objective.train, _MOST_TEXTS)
    if not 2 <= len({label for _, label in train}) <= _MOST_LABELS:
        return {}
    max_chars = max(400, _MOST_CHARS // len(train))
    held_out = _pairs(trainer.objective.held_out, run.recipe.evaluation.max_examples)
    found = baselines(train, held_out, max_chars=max_chars)
    figures: dict[str, float] = {}
    for name in ("tfidf_accuracy", "tfidf_f1"):
        one = found[name]
        figures |= one.named(name) if len(held_out) >= FEWEST else {name: one.value}
    return figures


def _pairs(rows: Sequence[Any], limit: int) -> list[tuple[str, str]]:
    chosen = (rows[n] for n in held_out_numbers(len(rows), limit))
    return [("\n".join(filter(None, (r["text"], r.get("text_pair")))), str(r["label"])) for r in chosen]
