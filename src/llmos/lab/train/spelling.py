"""The texts of a run as tokens, and what is told of that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmos.lab.data.cache import TokenCache
from llmos.lab.data.loader import Corpus
from llmos.lab.data.statistics import TokenStatistics
from llmos.lab.events import Reporter
from llmos.lab.objectives.make import token_caches
from llmos.lab.pace import Pace
from llmos.lab.recipes.schema import PRETRAINING, Recipe
from llmos.lab.tokenizers.describe import describe
from llmos.lab.tokenizers.train import fast_of
from llmos.lab.train import team


def spell(
    recipe: Recipe, corpus: Corpus, tokenizer: Any, cache: Path, reporter: Reporter
) -> TokenStatistics | None:
    """Make the token caches of pre-training, and say what the tokenizer makes of the texts.

    None in all processes but the first, and for a tokenizer without a fast form, which only those
    objectives can do with that keep no caches.
    """
    tokens: TokenCache | None = None
    if recipe.objective in PRETRAINING:
        size = corpus.statistics.size_bytes
        with Pace(reporter, "Tokenising", "MB tokenised", scale=1e6) as pace:
            tokens, _ = token_caches(recipe, corpus, tokenizer, cache, progress=lambda done: pace(done, size))
    if getattr(tokenizer, "backend_tokenizer", None) is None or not team.is_first():
        return None
    found = describe(corpus, fast_of(tokenizer), tokens)
    reporter.say(found.sentence())
    return found
