"""A piece of text around the words somebody searched for, with the words marked."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

_MARKS = re.compile(r"[*_`#>|]+|!?\[([^\]]*)\]\([^)]*\)|<[^>]{0,200}>|(?<![\w-]):?-{2,}:?(?![\w-])")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
BEFORE_CHARS = 60


def plain_text(text: str) -> str:
    """Markdown without its marks, on one line."""
    return " ".join(_MARKS.sub(lambda match: match[1] or " ", text[:20_000]).split())


def _pattern(query: str) -> re.Pattern[str] | None:
    """The words of a query, the longest first; Latin ones only at the beginning of a word."""
    words = sorted(set(re.findall(r"\w+", query)), key=len, reverse=True)[:12]
    parts = [re.escape(word) if _CJK.search(word) else rf"\b{re.escape(word)}" for word in words]
    return re.compile("|".join(parts), re.IGNORECASE) if parts else None


def snippet(text: str, query: str, *, limit: int = 220) -> Markup:
    """At most about `limit` characters around the first word found, as safe HTML."""
    plain, pattern = plain_text(text), _pattern(query)
    first = pattern.search(plain) if pattern else None
    if first is None and _CJK.search(query):
        pattern = re.compile("|".join(re.escape(char) for char in dict.fromkeys(query) if not char.isspace()))
        first = pattern.search(plain)
    start = max(0, first.start() - BEFORE_CHARS) if first else 0
    piece = plain[start : start + limit]
    before, after = ("…" if start else ""), ("…" if start + limit < len(plain) else "")
    return Markup(before) + mark(piece, pattern) + Markup(after)


def mark(text: str, pattern: re.Pattern[str] | None) -> Markup:
    if pattern is None:
        return escape(text)
    parts, at = [], 0
    for match in pattern.finditer(text):
        if match.end() == match.start():
            continue
        parts += [escape(text[at : match.start()]), Markup("<mark>{}</mark>").format(match.group())]
        at = match.end()
    return Markup("").join([*parts, escape(text[at:])])


def mark_words(text: str, query: str) -> Markup:
    """A short text, as a title, with the words of the query marked."""
    return mark(text, _pattern(query))
