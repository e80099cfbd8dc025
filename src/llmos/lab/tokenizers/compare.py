"""How tokenizers spell the same texts: fewer tokens is cheaper, and not the whole story."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmos.lab.data.encode import pieces
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


def _spelling(name: str, tokenizer: Tokenizer, language: str, texts: list[str]) -> Spelling:
    parts = [part for text in texts for part in pieces(text)]
    encoded = [e.ids for e in tokenizer.encode_batch_fast(parts, add_special_tokens=False)]
    unknown = {tokenizer.token_to_id(token) for token in ("[UNK]", "<unk>")} - {None}
    tokens = max(sum(map(len, encoded)), 1)
    size = sum(len(part.encode()) for part in parts)
    decoded = tokenizer.decode_batch(encoded, skip_special_tokens=False)
    return Spelling(
        tokenizer=name,
        language=language,
        vocab_size=tokenizer.get_vocab_size(),
        size_bytes=size,
        tokens=tokens,
        bytes_per_token=size / tokens,
        fertility=tokens / max(sum(map(count_words, parts)), 1),
        unknown_share=sum(token in unknown for ids in encoded for token in ids) / tokens,
        vocabulary_coverage=len({token for ids in encoded for token in ids}) / tokenizer.get_vocab_size(),
        is_lossless=decoded == parts,
    )


def as_table(spellings: list[Spelling]) -> str:
    """The comparison as a Markdown table."""
    head = "| tokenizer | language | vocabulary | bytes a token | tokens a word | unknown | used | lossless |"
    rule = "|---|---|---:|---:|---:|---:|---:|---|"
    rows = [
        f"| {s.tokenizer} | {s.language} | {s.vocab_size:,} | {s.bytes_per_token:.2f} | {s.fertility:.2f} "
        f"| {s.unknown_share:.2%} | {s.vocabulary_coverage:.0%} | {'yes' if s.is_lossless else 'no'} |"
        for s in spellings
    ]
    return "\n".join([head, rule, *rows])
