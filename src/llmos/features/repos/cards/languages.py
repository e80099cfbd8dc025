"""Language codes a card may name."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources

SPECIAL_LANGUAGES = frozenset({"multilingual", "code", "zh-Hans", "zh-Hant"})
"""Values the Hub takes besides ISO 639 codes, and the two Chinese scripts."""

_BCP47 = re.compile(r"([a-z]{2,3})(?:-[A-Z][a-z]{3})?(?:-(?:[A-Z]{2}|[0-9]{3}))?(?:-[a-z0-9]{5,8})*")


@lru_cache(maxsize=1)
def iso_codes() -> frozenset[str]:
    """Every ISO 639-1, 639-2 and 639-3 code, lower case."""
    text = resources.files(__package__).joinpath("language_codes.txt").read_text("ascii")
    return frozenset(code for line in text.splitlines() if not line.startswith("#") for code in line.split())


def is_language(code: str) -> bool:
    """Whether `code` is an ISO 639 code or a special value, as a card's `language` needs."""
    return code in SPECIAL_LANGUAGES or code in iso_codes()


def is_bcp47(code: str) -> bool:
    """Whether `code` is a known language with script, region or variant (`pt-BR`)."""
    match = _BCP47.fullmatch(code)
    return match is not None and match.group(1) in iso_codes()
