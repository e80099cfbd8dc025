"""What people may write: titles, comments, and the words in them that close other threads."""

from __future__ import annotations

import re

from llmos.core.errors import BadRequest, TooLarge
from llmos.core.plain import DIRECTION_MARKS, is_blank, plain_line
from llmos.infra.i18n import lazy

MAX_TEXT_BYTES = 256 * 1024
MAX_TITLE_CHARS = 250
MAX_CLOSED_BY_ONE = 20
# Why something is hidden where nobody wrote a reason: kept as the key, shown in the reader's words.
HIDDEN_REASONS = {
    "reported": lazy("several members reported it"),
    "account deleted": lazy("its author has left"),
}
_CLOSING = re.compile(r"\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):?\s+#([1-9][0-9]{0,8})\b", re.IGNORECASE)


def check_text(text: str, field: str = "comment", *, may_be_empty: bool = False) -> str:
    """The text with plain line ends; BadRequest where it is empty, TooLarge (413) with its size."""
    size_bytes = len(text.encode("utf-8", "surrogatepass"))
    if size_bytes > MAX_TEXT_BYTES:
        raise TooLarge(
            lazy(
                "%(field)s is %(size)s bytes long: at most %(limit)s bytes are accepted. Put long logs "
                "into a file and link to it.",
                field=field,
                size=size_bytes,
                limit=MAX_TEXT_BYTES,
            ),
            data={"size_bytes": size_bytes, "limit_bytes": MAX_TEXT_BYTES},
        )
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise BadRequest(
            lazy("%(field)s contains characters that are not text: leave them out.", field=field)
        )
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip("\n")
    if not may_be_empty and is_blank(text):
        raise BadRequest(lazy("%(field)s is empty: write something.", field=field))
    return text


def check_title(title: str) -> str:
    """One line without marks that change the direction of writing; BadRequest names the fault."""
    if "\0" in title or any("\ud800" <= char <= "\udfff" for char in title):
        raise BadRequest(lazy("title contains characters that are not text: leave them out."))
    kept = plain_line(title)
    if is_blank(kept):
        raise BadRequest(lazy("title is empty: say in a few words what this is about."))
    if len(kept) > MAX_TITLE_CHARS:
        raise BadRequest(
            lazy(
                "title has %(count)s characters: at most %(limit)s are accepted.",
                count=len(kept),
                limit=MAX_TITLE_CHARS,
            )
        )
    return kept


def shorten_title(summary: str) -> str:
    """A title from the first line of a commit message, whatever its length."""
    line = summary.strip().split("\n", 1)[0]
    line = "".join(char for char in line if char not in DIRECTION_MARKS and not "\ud800" <= char <= "\udfff")
    line = " ".join(line.replace("\0", " ").split()) or "Pull request"
    return line if len(line) <= MAX_TITLE_CHARS else line[: MAX_TITLE_CHARS - 1] + "…"


def closing_numbers(text: str) -> list[int]:
    """The thread numbers that `Closes #12`, `Fixes #12` or `Resolves #12` name, each once."""
    return list(dict.fromkeys(int(number) for number in _CLOSING.findall(text)))[:MAX_CLOSED_BY_ONE]
