"""How tokenizers spell the same texts: fewer tokens is cheaper, and not the whole story."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmos.lab.data.encode import all_cores, pieces
from llmos.lab.data.language import language_of
from llmos.lab.data.statistics import count_words

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class Spelling:
    """A tokenizer on the texts of one language."""

    tokenizer: str
    language: str
    vocab_size: int
    size_bytes: int
    tokens: int
    bytes_per_token: float
    # Tokens a word; a Chinese character is a word.
    fertility: float
    unknown_share: float
    vocabulary_coverage: float
    # Whether decoding gave every text back to the letter.
    is_lossless: bool


def by_language(texts: Iterable[str]) -> dict[str, list[str]]:
    """Texts under the language they are in."""
    found: dict[str, list[str]] = {}
    for text in texts:
        found.setdefault(language_of(text), []).append(text)
    return found


def compare(tokenizers: Mapping[str, Tokenizer], texts: Mapping[str, list[str]]) -> list[Spelling]:
    """Each tokenizer on the texts of each language."""
    return [
        _spelling(name, tokenizer, language, found)
        for language, found in texts.items()
        for name, tokenizer in tokenizers.items()
    ]


@dataclass(frozen=True)
class Count:
    """What some texts came to; counts add up."""

    size_bytes: int = 0
    words: int = 0
    tokens: int = 0
    unknown: int = 0
    used: frozenset[int] = frozenset()

    def __add__(self, other: Count) -> Count:
        return Count(
            self.size_bytes + other.size_bytes,
            self.words + other.words,
            self.tokens + other.tokens,
            self.unknown + other.unknown,
            self.used | other.used,
        )

    @property
    def bytes_per_token(self) -> float:
        return self.size_bytes / max(self.tokens, 1)

    @property
    def fertility(self) -> float:
        return self.tokens / max(self.words, 1)

    @property
    def unknown_share(self) -> float:
        return self.unknown / max(self.tokens, 1)


def unknown_ids(tokenizer: Tokenizer) -> set[int]:
    """The tokens that stand for what the tokenizer cannot spell."""
    found = (tokenizer.token_to_id(token) for token in ("[UNK]", "<unk>"))
    return {number for number in found if number is not None}


def count(tokenizer: Tokenizer, texts: Iterable[str]) -> Count:
    """The tokens of `texts`, and what they spell."""
    parts = [part for text in texts for part in pieces(text)]
    return _counted(tokenizer, parts, _encoded(tokenizer, parts))


def _encoded(tokenizer: Tokenizer, parts: list[str]) -> list[list[int]]:
    with all_cores():
        return [e.ids for e in tokenizer.encode_batch_fast(parts, add_special_tokens=False)]


def _counted(tokenizer: Tokenizer, parts: list[str], encoded: list[list[int]]) -> Count:
    unknown = unknown_ids(tokenizer)
    return Count(
        size_bytes=sum(len(part.encode("utf-8", "replace")) for part in parts),
        words=sum(map(count_words, parts)),
        tokens=sum(map(len, encoded)),
        unknown=sum(token in unknown for ids in encoded for token in ids),
        used=frozenset(token for ids in encoded for token in ids),
    )


def _spelling(name: str, tokenizer: Tokenizer, language: str, texts: list[str]) -> Spelling:
    parts = [part for text in texts for part in pieces(text)]
    encoded = _encoded(tokenizer, parts)
    found = _counted(tokenizer, parts, encoded)
    vocab_size = tokenizer.get_vocab_size()
    return Spelling(
        tokenizer=name,
        language=language,
        vocab_size=vocab_size,
        size_bytes=found.size_bytes,
        tokens=found.tokens,
        bytes_per_token=found.bytes_per_token,
        fertility=found.fertility,
        unknown_share=found.unknown_share,
        vocabulary_coverage=len(found.used) / vocab_size,
        is_lossless=tokenizer.decode_batch(encoded, skip_special_tokens=False) == parts,
    )


def as_table(spellings: list[Spelling]) -> str:
    """The comparison as a Markdown table, its columns as wide as what they hold."""
    head = [
        "tokenizer",
        "language",
        "vocabulary",
        "bytes a token",
        "tokens a word",
        "unknown",
        "used",
        "lossless",
    ]
    rows = [
        [
            s.tokenizer,
            s.language,
            f"{s.vocab_size:,}",
            f"{s.bytes_per_token:.2f}",
            f"{s.fertility:.2f}",
            f"{s.unknown_share:.2%}",
            f"{s.vocabulary_coverage:.0%}",
            "yes" if s.is_lossless else "no",
        ]
        for s in spellings
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    are_figures = [2 <= number < 7 for number in range(len(head))]
    rule = [
        "-" * (width - 1) + (":" if right else "-") for width, right in zip(widths, are_figures, strict=True)
    ]
    lines = [
        [
            cell.rjust(w) if right else cell.ljust(w)
            for cell, w, right in zip(row, widths, are_figures, strict=True)
        ]
        for row in (head, rule, *rows)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
