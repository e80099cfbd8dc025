"""Texts as words: what counts as one differs by language."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

# Chinese characters and kana: scripts that put no blank between words.
CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_WORDS = re.compile(rf"[{CJK}]|(?:(?![{CJK}])\w)+")

Gram = tuple[str, ...]


def is_by_character(language: str) -> bool:
    """Whether texts of this language are cut by characters."""
    return language in {"zh", "yue", "wuu", "lzh", "ja"}


def cut_name(language: str) -> str:
    """How `words` cuts, for a signature."""
    return "chars" if is_by_character(language) else "words"


def words(text: str, language: str = "en") -> list[str]:
    """Runs of letters and digits, in small letters; Chinese characters and kana one by one.

    Mixed texts are cut alike whatever their language; the parameter says what a signature tells.
    """
    return _WORDS.findall(text.lower())


def grams(tokens: Sequence[str], size: int) -> Counter[Gram]:
    """How often each run of `size` tokens occurs."""
    return Counter(tuple(tokens[at : at + size]) for at in range(len(tokens) - size + 1))
