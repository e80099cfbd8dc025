"""Line ends inside a paragraph: a space between words, nothing between Chinese or Japanese characters."""

from __future__ import annotations

import re
from collections.abc import Sequence

from markdown_it.token import Token

# Korean is left out: it puts spaces between words.
_WIDE = re.compile(
    r"[\u2e80-\u312f\u31a0-\ua4cf\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\U00020000-\U0003ffff]"
)
_FULL_WIDTH = frozenset("，。、；：？！（）《》「」『』【】")
_QUOTES = frozenset("“”‘’—…")  # wide beside wide characters only


def join_wide_lines(children: Sequence[Token]) -> None:
    """Take the line ends between wide characters away, and those beside full-width punctuation."""
    for position, child in enumerate(children):
        if child.type != "softbreak":
            continue
        before = _nearest(children[position - 1 :: -1] if position else (), -1)
        after = _nearest(children[position + 1 :], 0)
        if not before or not after:
            continue
        if (_is_wide(before) and _is_wide(after)) or _FULL_WIDTH & {before, after}:
            child.type, child.content = "text", ""


def _nearest(children: Sequence[Token], at: int) -> str:
    """The character of the text nearest to a line end; empty where something else stands there."""
    for child in children:
        if child.type == "text" and child.content:
            return child.content[at]
        if child.type not in ("text", "em_open", "em_close", "strong_open", "strong_close",
                              "link_open", "link_close", "s_open", "s_close"):  # fmt: skip
            return ""
    return ""


def _is_wide(char: str) -> bool:
    return char in _QUOTES or bool(_WIDE.match(char))
