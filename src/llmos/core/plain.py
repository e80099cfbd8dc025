"""Text that shows as what it is: no marks that turn it around, nothing that looks like nothing."""

from __future__ import annotations

import re
import unicodedata

# Marks that turn the direction of all text after them: a title must not disguise its list.
DIRECTION_MARKS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
# Looks like nothing, but is not white space to Python.
_BLANK = re.compile(r"[\s\u200b-\u200d\u2060\ufeff\u00ad\u3164\u2800]+")


def plain_line(text: str) -> str:
    """One line, single spaces, without direction marks and control characters."""
    kept = "".join(char for char in text if char not in DIRECTION_MARKS)
    kept = "".join(" " if unicodedata.category(char) in ("Cc", "Zl", "Zp") else char for char in kept)
    return " ".join(kept.split())


def is_blank(text: str) -> bool:
    """Whether nothing of the text can be seen."""
    return not _BLANK.sub("", text)
