"""What a data set holds, counted while it is read, and what a tokenizer makes of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

# A Chinese character counts as a word; elsewhere a word is a run of letters and digits.
_WORDS = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003134f\u3040-\u30ff]|[^\\W_\u3040-\u9fff]+")


def count_words(text: str) -> int:
    """Words of `text`; a Chinese or Japanese character counts as one."""
    return len(_WORDS.findall(text))


@dataclass
class Statistics:
    """Counts of documents (or examples), by what became of them."""

    read: int = 0
    train: int = 0
    validation: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    chars: int = 0
    size_bytes: int = 0
    words: int = 0
    validation_bytes: int = 0

    def count(self, text: str, *, validation: bool, copies: int = 1) -> None:
        """Count a kept document; `copies` is how often it is trained on, below 0 to take it back."""
        size = len(text.encode("utf-8", "replace"))
        if validation:
            self.validation += 1
            self.validation_bytes += size
            return
        self.train += copies
        self.chars += copies * len(text)
        self.size_bytes += copies * size
        self.words += copies * count_words(text)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"dropped": dict(self.dropped), "languages": dict(self.languages)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Statistics:
        counters = {name: Counter(value[name]) for name in ("dropped", "languages")}
        return cls(**{**value, **counters})

    def sentence(self) -> str:
        """One line for people."""
        dropped = ", ".join(f"{count:,} {reason}" for reason, count in self.dropped.most_common())
        return (
            f"{self.train:,} documents to learn from ({self.size_bytes / 1e6:.2f} MB), "
            f"{self.validation:,} held out; left out: {dropped or 'none'}"
        )


@dataclass(frozen=True)
class TokenStatistics:
    """What became of the text: `fertility` in tokens a word (a Chinese character is one)."""

    tokens: int
    bytes_per_token: float
    fertility: float
    vocab_size: int
    vocabulary_coverage: float


def token_statistics(cache_facts: Mapping[str, Any], statistics: Statistics) -> TokenStatistics:
    """From the facts of a token cache of the training part and the statistics of its documents.

    `vocabulary_coverage` is the share of the vocabulary that occurs at all.
    """
    tokens = int(cache_facts["tokens"])
    return TokenStatistics(
        tokens=tokens,
        bytes_per_token=statistics.size_bytes / max(tokens, 1),
        fertility=tokens / max(statistics.words, 1),
        vocab_size=int(cache_facts["vocab_size"]),
        vocabulary_coverage=int(cache_facts["used_tokens"]) / int(cache_facts["vocab_size"]),
    )
