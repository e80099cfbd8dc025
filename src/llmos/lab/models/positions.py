"""Where a model's positions begin, and how many it has. No torch here.

RoBERTa and its kin (XLM-R, CamemBERT, MPNet, Longformer, …) keep the first places of their position table
for padding; a few others count from two for no reason but habit. Which ones do so is seen from the model.
"""

from __future__ import annotations

from typing import Any


def first_position(model: Any) -> int:
    """The position of a row's first token, as the model itself counts when it is told none."""
    return _table(model)[0]


def longest_row(model: Any) -> int | None:
    """Tokens of the longest row `model` takes; None where its configuration sets no limit."""
    first, size = _table(model)
    most = getattr(model.config, "max_position_embeddings", None)
    known = [n for n in (most, size - first if size else None) if n]
    return min(known) if known else None


def _table(model: Any) -> tuple[int, int | None]:
    """First position used and size of the table of learnt positions; (0, None) where there is none."""
    for module in model.modules():
        table = getattr(module, "position_embeddings", None)
        weight = getattr(table, "weight", None)
        if weight is None or getattr(model.config, "position_embedding_type", "absolute") != "absolute":
            continue
        padding = getattr(table, "padding_idx", None)
        if padding is not None:
            return padding + 1, len(weight)
        numbers = getattr(module, "position_ids", None)
        return 0 if numbers is None else int(numbers.flatten()[0]), len(weight)
    return 0, None
