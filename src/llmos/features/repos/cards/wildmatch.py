"""git's path patterns (gitattributes, gitignore), matched in bounded time.

Each path segment is matched by one regular expression of atomic groups, so neither a hostile
pattern nor a hostile path can make it backtrack; `**` is tried over whole segments.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

MAX_PATTERN_CHARS = 1024
MAX_STARS = 8
"""`**` segments in one pattern."""

_POSIX = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "\\x21-\\x7e",
    "lower": "a-z",
    "print": "\\x20-\\x7e",
    "punct": "!-/:-@\\[-`{-~",
    "space": " \\t\\n\\r",
    "upper": "A-Z",
    "xdigit": "0-9a-fA-F",
}


@dataclass(frozen=True)
class Pattern:
    """A compiled pattern; `segments` holds None for each `**`."""

    segments: tuple[re.Pattern[str] | None, ...]
    anchored: bool
    directory_only: bool

    def matches(self, path: str) -> bool:
        """Whether the pattern fits this path itself (a file or a folder, without slash)."""
        parts = path.split("/")
        if not self.anchored:
            expression = self.segments[0]
            return expression is None or expression.match(parts[-1]) is not None
        return _match(self.segments, parts)


@lru_cache(maxsize=4096)
def compile_pattern(text: str) -> Pattern | None:
    """Compile one pattern; None for one that can never match (broken bracket, too long)."""
    directory_only = text.endswith("/")
    body = text.rstrip("/") if directory_only else text
    anchored = "/" in body
    parts = body.removeprefix("/").split("/")
    if not body or len(text) > MAX_PATTERN_CHARS or parts.count("**") > MAX_STARS:
        return None
    segments: list[re.Pattern[str] | None] = []
    for part in parts:
        if part == "**":
            if not segments or segments[-1] is not None:
                segments.append(None)
            continue
        expression = _segment(part)
        if expression is None:
            return None
        segments.append(expression)
    return Pattern(tuple(segments), anchored, directory_only)


def _match(segments: tuple[re.Pattern[str] | None, ...], parts: list[str]) -> bool:
    """Set of reachable pattern positions after each path segment."""
    states = _closure({0}, segments, at_end=False)
    for i, part in enumerate(parts):
        following: set[int] = set()
        for state in states:
            if state == len(segments):
                continue
            expression = segments[state]
            if expression is None:
                following.add(state)
                if state == len(segments) - 1:
                    following.add(len(segments))
            elif expression.match(part):
                following.add(state + 1)
        states = _closure(following, segments, at_end=i == len(parts) - 1)
        if not states:
            return False
    return len(segments) in states


def _closure(states: set[int], segments: tuple[re.Pattern[str] | None, ...], *, at_end: bool) -> set[int]:
    """A `**` may stand for no segment, except as the last: `a/**` is not `a`."""
    found = set(states)
    for state in states:
        inside = state < len(segments) - 1 and not at_end
        if inside and segments[state] is None:
            found.add(state + 1)
    return found


def _segment(text: str) -> re.Pattern[str] | None:
    """One segment as a regular expression; None where a bracket or backslash is unfinished."""
    chunks: list[str] = [""]
    i = 0
    while i < len(text):
        char = text[i]
        i += 1
        if char == "*":
            if chunks[-1] or len(chunks) == 1:
                chunks.append("")
        elif char == "?":
            chunks[-1] += "[^/]"
        elif char == "[":
            parsed = _bracket(text, i)
            if parsed is None:
                return None
            expression, i = parsed
            chunks[-1] += expression
        elif char == "\\":
            if i == len(text):
                return None
            chunks[-1] += re.escape(text[i])
            i += 1
        else:
            chunks[-1] += re.escape(char)
    if len(chunks) == 1:
        return re.compile(rf"(?s:{chunks[0]})\Z")
    # Between two stars the first place that fits is as good as any later one.
    middle = "".join(f"(?>.*?{chunk})" for chunk in chunks[1:-1])
    return re.compile(rf"(?s:{chunks[0]}{middle}.*{chunks[-1]})\Z")


def _bracket(text: str, start: int) -> tuple[str, int] | None:
    """`(expression, next position)` of the bracket opened just before `start`."""
    i = start
    negated = text[i : i + 1] in ("!", "^")
    i += negated
    items: list[str] = []
    first = True
    while i < len(text):
        if text[i] == "]" and not first:
            body = "".join(items)
            if negated:
                return f"[^{body}/]", i + 1
            return (f"[{body}]" if body else "(?!)"), i + 1
        first = False
        if text.startswith("[:", i) and (end := text.find(":]", i)) > 0:
            name = text[i + 2 : end]
            if name not in _POSIX:
                return None
            items.append(_POSIX[name])
            i = end + 2
            continue
        low, i = _bracket_char(text, i)
        if text[i : i + 1] == "-" and i + 1 < len(text) and text[i + 1] != "]":
            high, i = _bracket_char(text, i + 1)
            if low <= high:
                items.append(f"{re.escape(low)}-{re.escape(high)}")
            continue
        items.append(re.escape(low))
    return None


def _bracket_char(text: str, i: int) -> tuple[str, int]:
    if text[i] == "\\" and i + 1 < len(text):
        return text[i + 1], i + 2
    return text[i], i + 1
