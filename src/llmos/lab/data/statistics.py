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
class Spelling:
    """How a tokenizer spells texts: `fertility` in tokens a word (a Chinese character is one)."""

    bytes_per_token: float
    fertility: float
    unknown_share: float


@dataclass(frozen=True)
class TokenStatistics:
    """What a tokenizer makes of the texts to learn from.

    `vocabulary_coverage` is the share of the vocabulary that occurs at all. Where `is_sample`, the
    figures are those of a part of the texts, and `tokens` is reckoned from it. `languages` are of at
    most a sample.
    """

    documents: int
    tokens: int
    bytes_per_token: float
    fertility: float
    unknown_share: float
    vocab_size: int
    vocabulary_coverage: float
    is_sample: bool = False
    languages: dict[str, Spelling] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def sentence(self) -> str:
        """One line for people."""
        about, least = ("about ", "at least ") if self.is_sample else ("", "")
        parts = [
            f"{self.documents:,} documents are {about}{self.tokens:,} tokens",
            f"{self.fertility:.2f} tokens a word",
            f"{self.bytes_per_token:.2f} bytes a token",
            f"{least}{self.vocabulary_coverage:.0%} of {self.vocab_size:,} in the vocabulary used",
            f"{self.unknown_share:.2%} unknown",
        ]
        if len(self.languages) > 1:
            each = (f"{name} {one.bytes_per_token:.2f}" for name, one in self.languages.items())
            parts.append(f"bytes a token by language: {', '.join(each)}")
        return "; ".join(parts)
