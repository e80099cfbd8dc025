"""What is hidden from a model, drawn from the generator given and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmos.lab.data.errors import DataError
from llmos.lab.objectives.base import IGNORED, Row
from llmos.lab.recipes.schema import Denoising

Ids = NDArray[np.int64]


def hide_tokens(
    ids: Ids, is_text: NDArray[np.bool_], tokenizer: Any, share: float, rng: np.random.Generator
) -> tuple[Ids, Ids]:
    """BERT's masking: of `share` of the tokens 80 % become the mask, 10 % another token, 10 % stay.

    Special tokens are never hidden; at least one token always is, if there is any text.
    """
    candidates = np.flatnonzero(is_text & ~np.isin(ids, tokenizer.all_special_ids))
    labels = np.full(len(ids), IGNORED, np.int64)
    hidden = ids.copy()
    if not len(candidates):
        return hidden, labels
    chosen = rng.permutation(candidates)[: max(1, round(share * len(candidates)))]
    labels[chosen] = ids[chosen]
    luck = rng.random(len(chosen))
    hidden[chosen[luck < 0.8]] = tokenizer.mask_token_id
    swapped = chosen[(luck >= 0.8) & (luck < 0.9)]
    hidden[swapped] = rng.integers(0, len(tokenizer), len(swapped))
    return hidden, labels


def pair_segments(row: Row, other: Row, tokenizer: Any, kind: str, rng: np.random.Generator) -> Row:
    """Two segments in one row, and whether the second is what followed the first.

    kind "next" (BERT): label 1 when the second comes from `other`. kind "order" (ALBERT): label 1 when
    the two are swapped.
    """
    text = _words(row, tokenizer)
    room = len(row["input_ids"]) - 3
    text = text[:room]
    cut = int(rng.integers(max(1, len(text) // 4), max(2, 3 * len(text) // 4 + 1)))
    first, second = text[:cut], text[cut:]
    wrong = bool(rng.random() < 0.5)
    if wrong and kind == "order":
        first, second = second, first
    elif wrong:
        second = _words(other, tokenizer)[: room - len(first)]
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    ids = np.concatenate([[cls], first, [sep], second, [sep]]).astype(np.int64)
    length = len(row["input_ids"])
    types = np.zeros(length, np.int64)
    types[len(first) + 2 : len(ids)] = 1
    documents = np.full(length, -1, np.int64)
    documents[: len(ids)] = 0
    padded = np.full(length, tokenizer.pad_token_id, np.int64)
    padded[: len(ids)] = ids
    return {
        "input_ids": padded,
        "token_type_ids": types,
        "document_ids": documents,
        "position_ids": np.arange(length),
        "pair": int(wrong),
    }


def _words(row: Row, tokenizer: Any) -> Ids:
    ids = np.asarray(row["input_ids"])[np.asarray(row["document_ids"]) >= 0]
    return ids[~np.isin(ids, tokenizer.all_special_ids)]


def hide_spans(
    ids: Ids, tokenizer: Any, denoising: Denoising, rng: np.random.Generator, *, infill: bool
) -> tuple[Ids, Ids]:
    """Source and target of a denoiser.

    T5: each hidden span becomes a sentinel in the source, the target lists sentinels and spans. BART
    (`infill`): each span becomes one mask, the target is the whole text.
    """
    assert denoising.mask_share is not None
    eos = [tokenizer.eos_token_id]
    sentinels = [] if infill else _sentinels(tokenizer)
    most = len(ids) if infill else len(sentinels)
    is_hidden = _spans(len(ids), denoising.mask_share, denoising.span_length, most, rng)
    starts = is_hidden & ~np.concatenate([[False], is_hidden[:-1]])
    source = ids.copy()
    if infill:
        source[starts] = tokenizer.mask_token_id
        return np.append(source[~is_hidden | starts], eos), np.append(ids, eos)
    begins = np.flatnonzero(starts)
    source[begins] = sentinels[: len(begins)]
    ends = np.flatnonzero(is_hidden & ~np.concatenate([is_hidden[1:], [False]])) + 1
    target: list[int] = []
    for sentinel, start, end in zip(sentinels, begins, ends, strict=False):
        target += [sentinel, *ids[start:end].tolist()]
    return np.append(source[~is_hidden | starts], eos), np.array(target + eos, np.int64)


def _sentinels(tokenizer: Any) -> list[int]:
    """Ids of <extra_id_0>, <extra_id_1>, … as far as the tokenizer has them."""
    vocabulary = tokenizer.get_vocab()
    found: list[int] = []
    while (name := f"<extra_id_{len(found)}>") in vocabulary:
        found.append(vocabulary[name])
    if not found:
        raise DataError("The tokenizer has no tokens <extra_id_0>, …: span corruption needs them.")
    return found


def _spans(length: int, share: float, mean: float, most: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which tokens are hidden: exactly the share, in at most `most` spans of about `mean` tokens.

    As in T5: both the hidden and the shown tokens are cut at random into as many pieces as there are
    spans, which then alternate, beginning with a shown one.
    """
    count = min(max(1, round(length * share)), max(1, length - 1))
    pieces = min(most, max(1, round(count / mean)), max(1, length - count))
    hidden, shown = _cut(count, pieces, rng), _cut(max(length - count, pieces), pieces, rng)
    out = np.concatenate(
        [np.concatenate([np.zeros(s, bool), np.ones(h, bool)]) for s, h in zip(shown, hidden, strict=True)]
    )
    return out[:length]


def _cut(total: int, pieces: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`total` as a sum of `pieces` positive numbers."""
    if pieces <= 1:
        return np.array([total])
    cuts = np.sort(rng.choice(total - 1, pieces - 1, replace=False)) + 1
    return np.diff(np.concatenate([[0], cuts, [total]]))
