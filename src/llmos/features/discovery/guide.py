"""The user's guide of this installation: Markdown files, in English and Chinese, read once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from llmos.infra.i18n import Locale
from llmos.infra.search.words import index_words, query_words

# Beside the package in an installation, at the root of a working copy.
_PLACES = (Path(__file__).parents[2] / "guide", Path(__file__).parents[4] / "docs" / "user")
_NAME = re.compile(r"([a-z0-9][a-z0-9-]{0,60})(\.zh)?\.md")
_TITLE = re.compile(r"^#\s+(.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class GuidePage:
    """`words` are those it is found by."""

    name: str
    locale: Locale
    title: str
    text: str
    words: frozenset[str]

    @property
    def href(self) -> str:
        return f"/docs/{self.name}"


@cache
def list_guide() -> tuple[GuidePage, ...]:
    """Every page of the guide, by name and language; none where it was not installed."""
    folder = next((place for place in _PLACES if place.is_dir()), None)
    pages = []
    for path in sorted(folder.glob("*.md")) if folder else []:
        match = _NAME.fullmatch(path.name)
        if match is None:
            continue
        text = path.read_text(encoding="utf-8")
        title = _TITLE.search(text)
        name = match[1]
        locale: Locale = "zh" if match[2] else "en"
        words = frozenset(index_words(text))
        pages.append(GuidePage(name, locale, title[1].strip() if title else name, text, words))
    return tuple(pages)


def get_guide_page(name: str, locale: Locale) -> GuidePage | None:
    """The page in the reader's language, else in the other one."""
    found = {page.locale: page for page in list_guide() if page.name == name}
    return found.get(locale) or next(iter(found.values()), None)


def guide_titles(locale: Locale) -> list[GuidePage]:
    """One entry a page, in the reader's language where there is one."""
    names = dict.fromkeys(page.name for page in list_guide())
    return [page for name in names if (page := get_guide_page(name, locale))]


def find_guide(query: str, locale: Locale, *, in_title: bool = False, limit: int = 10) -> list[GuidePage]:
    """Pages that hold every word, those in the reader's language first, a hit in the title before all."""
    words = query_words(query)
    if not words:
        return []
    found = []
    for page in list_guide():
        in_head = _holds(frozenset(index_words(page.title)), words)
        if in_head or (not in_title and _holds(page.words, words)):
            found.append((page.locale != locale, not in_head, page))
    found.sort(key=lambda item: item[:2])
    pages: dict[str, GuidePage] = {}
    for _, _, page in found:
        pages.setdefault(page.name, page)
    return list(pages.values())[:limit]


def _holds(words: frozenset[str], wanted: list[str]) -> bool:
    *whole, last = wanted
    if not all(word in words for word in whole):
        return False
    return last in words or any(word.startswith(last) for word in words)
