"""Code with colours: token classes only, the colours are in the style sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import StringIO

from markupsafe import Markup, escape
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name, get_lexer_for_filename
from pygments.token import STANDARD_TYPES
from pygments.util import ClassNotFound

MAX_HIGHLIGHT_CHARS = 400_000
MAX_HIGHLIGHT_LINE_CHARS = 4_000
MAX_LINES = 10_000
TOKEN_CLASSES = frozenset(name for name in STANDARD_TYPES.values() if name)

_FORMATTER: HtmlFormatter[str] = HtmlFormatter(nowrap=True)
_ALIASES = {"jsonc": "json", "shell": "bash", "console": "console", "text": "", "plain": ""}
# The common ones by name: asking for a file's lexer compiles a thousand patterns the first time.
_LANGUAGES = {
    "bash": "bash", "c": "c", "cpp": "cpp", "css": "css", "go": "go", "h": "c", "ini": "ini", "java": "java",
    "json": "json", "jsonl": "json", "py": "python", "rs": "rust", "sh": "bash", "toml": "toml",
    "tsv": "", "txt": "", "yaml": "yaml", "yml": "yaml",
}  # fmt: skip
# Lines must come out one to one: nothing stripped, nothing added.
_OPTIONS = {"stripnl": False, "stripall": False, "ensurenl": False}


@dataclass(frozen=True)
class HighlightedCode:
    """A file as lines of HTML. `language` is None when it is shown plain."""

    lines: Sequence[Markup]
    language: str | None
    is_truncated: bool


def highlight_file(text: str, filename: str) -> HighlightedCode:
    """Lines of a file, coloured by its name. Large files and very long lines stay plain; what is
    beyond MAX_LINES is left out and `is_truncated` set."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    is_truncated = len(lines) > MAX_LINES
    shown = "\n".join(lines[:MAX_LINES])
    lexer = _get_lexer_for_filename(filename)
    if lexer is None or not _can_highlight(shown):
        return HighlightedCode([escape(line) for line in lines[:MAX_LINES]], None, is_truncated)
    html = _highlight(shown, lexer).split("\n")
    count = min(len(lines), MAX_LINES)
    html = html[:count] + [""] * (count - len(html))
    return HighlightedCode([Markup(line) for line in html], lexer.name, is_truncated)


def highlight_snippet(text: str, language: str) -> Markup:
    """The inside of a `<code>`: coloured if the language is known, escaped otherwise."""
    lexer = _get_lexer_by_name(language.lower())
    if lexer is None or not _can_highlight(text):
        return escape(text)
    return Markup(_highlight(text, lexer))


def _can_highlight(text: str) -> bool:
    return len(text) <= MAX_HIGHLIGHT_CHARS and all(
        len(line) <= MAX_HIGHLIGHT_LINE_CHARS for line in text.split("\n")
    )


def _highlight(text: str, lexer: Lexer) -> str:
    out = StringIO()
    _FORMATTER.format(lexer.get_tokens(text), out)
    return out.getvalue()


@lru_cache(maxsize=256)
def _get_lexer_for_filename(filename: str) -> Lexer | None:
    known = _LANGUAGES.get(filename.rpartition(".")[2].lower())
    if known is not None:
        return _get_lexer_by_name(known)
    try:
        return get_lexer_for_filename(filename.rsplit("/", 1)[-1], **_OPTIONS)
    except ClassNotFound:
        return None


@lru_cache(maxsize=256)
def _get_lexer_by_name(language: str) -> Lexer | None:
    language = _ALIASES.get(language, language)
    if not language or len(language) > 40:
        return None
    try:
        return get_lexer_by_name(language, **_OPTIONS)
    except ClassNotFound:
        return None
