"""Text -> words for the index and for queries. Pure, and the same on every database.

Scripts written without spaces (Chinese, Japanese, Korean) give every character and every pair of
neighbours; a query asks for the pairs, so a two-character word is found wherever it stands.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

MAX_TEXT_CHARS = 50_000
MAX_QUERY_WORDS = 24
MAX_WORD_CHARS = 64

_CJK = (
    "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0002fa1f\U00030000-\U000323af"
)
_RUN = re.compile(rf"[{_CJK}]+|[^\W_{_CJK}]+(?:[-_.][^\W_{_CJK}]+)*")
_IS_CJK = re.compile(rf"[{_CJK}]")
_JOINERS = re.compile(r"[-_.]")
_LETTERS_OR_DIGITS = re.compile(r"[^\W\d]+|\d+")


def _fold(text: str) -> str:
    """Width, case and accents do not matter to a search."""
    if text.isascii():
        return text.lower()
    composed = unicodedata.normalize("NFKC", text).casefold()
    # Accents only: the voicing marks of Japanese kana change the word.
    plain = "".join(
        char for char in unicodedata.normalize("NFD", composed) if not "\u0300" <= char <= "\u036f"
    )
    return unicodedata.normalize("NFC", plain)


def index_words(text: str) -> list[str]:
    """Every word under which `text` can be found, in order; at most MAX_TEXT_CHARS are read."""
    return [word[:MAX_WORD_CHARS] for word in _index_words(_fold(text[:MAX_TEXT_CHARS]))]


def _index_words(folded: str) -> Iterator[str]:
    for match in _RUN.finditer(folded):
        run = match.group()
        if _IS_CJK.match(run):
            yield from run
            yield from _pairs(run)
            continue
        parts = _JOINERS.split(run)
        for part in parts:
            yield part
            pieces = _LETTERS_OR_DIGITS.findall(part)
            if len(pieces) > 1:  # "llama3" is also found by "llama"
                yield from (piece for piece in pieces if len(piece) > 1)
        if len(parts) > 1:
            yield "".join(parts)


def query_words(text: str) -> list[str]:
    """The words a document must hold, all of them, to match; repeats are left out."""
    words: list[str] = []
    for match in _RUN.finditer(_fold(text[:1000])):
        run = match.group()
        if _IS_CJK.match(run):
            words += _pairs(run) if len(run) > 1 else [run]
        else:
            words += _JOINERS.split(run)
    return list(dict.fromkeys(word[:MAX_WORD_CHARS] for word in words))[:MAX_QUERY_WORDS]


def is_prefix_word(word: str) -> bool:
    """Whether the word may stand for the beginning of a longer one (CJK pairs do not)."""
    return not _IS_CJK.match(word)


def _pairs(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(len(run) - 1)]
