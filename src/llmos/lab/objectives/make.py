"""From a corpus and a tokenizer to the objective of a recipe."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmos.core.errors import Unprocessable
from llmos.lab.data.cache import TokenCache, cache_key, open_cache, write_cache
from llmos.lab.data.encode import iter_token_ids
from llmos.lab.data.loader import Corpus, Part
from llmos.lab.data.packing import Packed
from llmos.lab.objectives.base import Objective
from llmos.lab.objectives.labelled import Answers, Classes, Tags
from llmos.lab.objectives.language import HiddenSpans, HiddenTokens, NextToken, token_byte_lengths
from llmos.lab.objectives.pairs import Pairs
from llmos.lab.recipes.schema import PRETRAINING, Recipe
from llmos.lab.tokenizers.train import fast_of


def token_caches(
    recipe: Recipe,
    corpus: Corpus,
    tokenizer: Any,
    cache: Path,
    *,
    progress: Callable[[int], None] | None = None,
) -> tuple[TokenCache, TokenCache | None]:
    """Tokens of the training and held-out texts, read from `cache` where they are known already.

    While they are made `progress` is told how many bytes of the training texts were read.
    """
    train = _tokens(recipe, corpus, tokenizer, cache, "train", progress)
    held_out = (
        _tokens(recipe, corpus, tokenizer, cache, "validation") if corpus.statistics.validation else None
    )
    return train, held_out


def _tokens(
    recipe: Recipe,
    corpus: Corpus,
    tokenizer: Any,
    cache: Path,
    part: Part,
    progress: Callable[[int], None] | None = None,
) -> TokenCache:
    bos, eos = _ends(recipe, tokenizer)
    fast = fast_of(tokenizer)
    spelling = hashlib.blake2b(fast.to_str().encode(), digest_size=16).hexdigest()
    facts = {"corpus": corpus.key, "part": part, "tokenizer": spelling, "bos": bos, "eos": eos}
    folder = cache / "tokens" / cache_key(facts)
    found = open_cache(folder)
    if found is not None:
        return found
    items = iter_token_ids(corpus.texts(part, progress=progress), fast, bos_id=bos, eos_id=eos)
    return write_cache(items, folder, vocab_size=len(tokenizer), facts=facts)


def _ends(recipe: Recipe, tokenizer: Any) -> tuple[int | None, int | None]:
    """What stands before and after each document."""
    if recipe.objective == "clm":
        return tokenizer.bos_token_id, tokenizer.eos_token_id
    if recipe.objective == "mlm":
        if recipe.denoising.sentence_pairs not in (None, "none"):
            return None, None
        first = tokenizer.cls_token_id if tokenizer.cls_token_id is not None else tokenizer.bos_token_id
        last = tokenizer.sep_token_id if tokenizer.sep_token_id is not None else tokenizer.eos_token_id
        return first, last
    return None, None


def labels_of(recipe: Recipe, corpus: Corpus) -> list[str]:
    """The labels of a classifier or tagger: the recipe's, or all of the training data, sorted.

    Raises Unprocessable where there are fewer than two.
    """
    if recipe.objective not in ("classify", "tag"):
        return []
    labels = list(recipe.model.labels)
    if not labels:
        found: set[str] = set()
        for example in corpus.examples("train"):
            found.update(map(str, example["tags"] if recipe.objective == "tag" else [example["label"]]))
        labels = sorted(found)
    if len(labels) < 2:
        raise Unprocessable(f"The data has the label {labels} only: a classifier needs two or more.")
    return labels


def make_objective(
    recipe: Recipe, corpus: Corpus, tokenizer: Any, labels: list[str], *, cache: Path
) -> Objective:
    """The objective of a resolved recipe that our own trainer runs (all but TRL's)."""
    length = recipe.training.sequence_length
    assert length is not None
    if recipe.objective in PRETRAINING:
        train, held_out = token_caches(recipe, corpus, tokenizer, cache)
        if _infills(recipe, tokenizer):
            # The target is the row and its end.
            length -= 1
        options: dict[str, Any] = {
            "mode": recipe.data.packing or "stream",
            "longer": recipe.data.longer or "cut",
        }
        options["pad_id"] = tokenizer.pad_token_id
        packed = Packed(train, length, **options)
        held: Any = Packed(held_out, length, **options) if held_out else []
        return _language(recipe, packed, held, tokenizer)
    train_rows, held_rows = list(corpus.examples("train")), list(corpus.examples("validation"))
    longer = recipe.data.longer or "cut"
    if recipe.objective == "classify":
        return Classes(train_rows, held_rows, tokenizer, labels, length=length, longer=longer)
    if recipe.objective == "tag":
        return Tags(train_rows, held_rows, tokenizer, labels, length=length, longer=longer)
    if recipe.objective == "qa":
        return Answers(train_rows, held_rows, tokenizer, length=length, longer=longer)
    return Pairs(train_rows, held_rows, tokenizer, recipe.objective, length=length, longer=longer)


def _language(recipe: Recipe, train: Any, held_out: Any, tokenizer: Any) -> Objective:
    if recipe.objective == "clm":
        return NextToken(train, held_out, tokenizer, token_byte_lengths(tokenizer))
    if recipe.objective == "mlm":
        return HiddenTokens(train, held_out, tokenizer, recipe.denoising)
    return HiddenSpans(train, held_out, tokenizer, recipe.denoising, infill=_infills(recipe, tokenizer))


def _infills(recipe: Recipe, tokenizer: Any) -> bool:
    """Whether spans are hidden BART's way: for BART, and for tokenizers without T5's sentinels."""
    if recipe.objective != "seq2seq":
        return False
    return recipe.model.family == "bart" or "<extra_id_0>" not in tokenizer.get_vocab()
