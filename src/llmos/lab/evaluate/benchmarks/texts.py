"""Sentences, passages and verses out of the corpora."""

from __future__ import annotations

import re
from collections.abc import Iterable

from llmos.lab.evaluate.benchmarks.base import Row, Rows

# Titles and their like end in a full stop that ends no sentence.
_TITLES = ("Mr", "Mrs", "Dr", "Messrs", "Gen", "No", "Nos", "Col", "St", "Hon", "Lieut", "Capt", "Sec", "Gov")
_NO_TITLE = "".join(rf"(?<!\b{title}\.)" for title in _TITLES)
_SENTENCE = re.compile(rf"(?<=[a-z0-9][.!?]){_NO_TITLE} (?=[A-Z])")
_ODD_POEM = re.compile(r"[□■\[\]{}()（）/？?…a-zA-Z0-9]|缺")
_VERSE = re.compile(r"[\u4e00-\u9fff\u3400-\u4dbf]{5}，[\u4e00-\u9fff\u3400-\u4dbf]{5}。")
_LONG_VERSE = re.compile(r"[\u4e00-\u9fff\u3400-\u4dbf]{7}，[\u4e00-\u9fff\u3400-\u4dbf]{7}。")


def sentences(text: str) -> list[str]:
    return _SENTENCE.split(" ".join(text.split()))


def passages(text: str, size: int) -> list[str]:
    """Whole sentences in groups of at least `size` characters."""
    out, held = [], ""
    for sentence in sentences(text):
        held = f"{held} {sentence}".strip()
        if len(held) >= size:
            out.append(held)
            held = ""
    return out


def speech_key(speech: Row) -> str:
    return f"{speech['year']} {speech['speaker']}"


def clean_poems(poems: Iterable[Row]) -> Rows:
    """Poems without gaps, notes or doubtful readings, as `title`, `author`, `lines`; same text once."""
    found: Rows = []
    seen: set[str] = set()
    for poem in poems:
        _, _, *lines = poem["text"].split("\n")
        body = "\n".join(lines)
        if (
            lines
            and body not in seen
            and len(poem["title"]) <= 12
            and not _ODD_POEM.search(poem["title"] + body)
        ):
            seen.add(body)
            found.append({"title": poem["title"], "author": poem["author"], "lines": lines})
    return found


def poem_key(poem: Row) -> str:
    return "\n".join(poem["lines"])


def is_regular(line: str) -> bool:
    """Whether a line is a couplet of twice five or twice seven characters."""
    return bool(_VERSE.fullmatch(line) or _LONG_VERSE.fullmatch(line))
