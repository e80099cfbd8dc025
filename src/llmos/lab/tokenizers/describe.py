"""What a tokenizer makes of a corpus: counted over all tokens where they are cached, else in a sample."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llmos.lab.data.cache import TokenCache
from llmos.lab.data.encode import PIECE_CHARS, pieces
from llmos.lab.data.loader import Corpus
from llmos.lab.data.statistics import Spelling, TokenStatistics
from llmos.lab.tokenizers.compare import Count, by_language, count, unknown_ids

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Encoded for the figures by language: a fraction of a second.
SAMPLE_CHARS = 1_000_000


def describe(corpus: Corpus, tokenizer: Tokenizer, cache: TokenCache | None = None) -> TokenStatistics:
    """Statistics of the training part; `cache` holds its tokens, without it a sample is looked at.

    The ends of documents are tokens, but no part of fertility and bytes a token.
    """
    found = {name: count(tokenizer, texts) for name, texts in by_language(_sample(corpus)).items()}
    spellings = {
        name: Spelling(one.bytes_per_token, one.fertility, one.unknown_share)
        for name, one in sorted(found.items(), key=lambda pair: -pair[1].size_bytes)
    }
    if cache is None:
        return _of_sample(corpus, tokenizer, sum(found.values(), Count()), spellings)
    facts, statistics = cache.facts, corpus.statistics
    ends = sum(facts.get(name) is not None for name in ("bos", "eos"))
    inner = max(cache.n_tokens - ends * cache.n_documents, 1)
    return TokenStatistics(
        documents=cache.n_documents,
        tokens=cache.n_tokens,
        bytes_per_token=statistics.size_bytes / inner,
        fertility=inner / max(statistics.words, 1),
        unknown_share=_times(cache, unknown_ids(tokenizer)) / inner,
        vocab_size=int(facts["vocab_size"]),
        vocabulary_coverage=int(facts["used_tokens"]) / int(facts["vocab_size"]),
        languages=spellings,
    )


def _times(cache: TokenCache, wanted: set[int]) -> int:
    """How often these tokens occur."""
    import numpy as np

    return sum(int(np.count_nonzero(cache.tokens == number)) for number in wanted)


def _of_sample(
    corpus: Corpus, tokenizer: Tokenizer, found: Count, spellings: dict[str, Spelling]
) -> TokenStatistics:
    statistics, vocab_size = corpus.statistics, tokenizer.get_vocab_size()
    return TokenStatistics(
        documents=statistics.train,
        tokens=round(found.tokens * statistics.size_bytes / max(found.size_bytes, 1)),
        bytes_per_token=found.bytes_per_token,
        fertility=found.fertility,
        unknown_share=found.unknown_share,
        vocab_size=vocab_size,
        vocabulary_coverage=len(found.used) / vocab_size,
        is_sample=statistics.size_bytes > found.size_bytes,
        languages=spellings,
    )


def _sample(corpus: Corpus) -> Iterator[str]:
    """Some million characters from all over the training part: every so manieth document or piece."""
    statistics = corpus.statistics
    step = max(1, -(-statistics.chars // SAMPLE_CHARS))
    if statistics.chars <= PIECE_CHARS * statistics.train:
        yield from corpus.texts(every=step)
        return
    for number, piece in enumerate(part for text in corpus.texts() for part in pieces(text)):
        if number % step == 0:
            yield piece
