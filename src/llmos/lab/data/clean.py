"""One document made tidy, or turned away with a reason."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

Form = Literal["NFC", "NFKC", "none"]

# Controls but for tab and newline, lone surrogates, byte-order marks, and the replacement character.
_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffd]")
_SPACES = re.compile(r"[ \t\u00a0]{2,}")
_TRAILING = re.compile(r"[ \t]+$", re.M)
_BLANKS = re.compile(r"\n{3,}")


@dataclass(frozen=True)
class Cleaning:
    """What `clean` does.

    NFKC turns full-width Chinese punctuation and digits into ASCII; NFC, the default, keeps them.
    `max_repeated` is the share of lines that may be copies of an earlier line of the document.
    """

    form: Form = "NFC"
    min_chars: int = 1
    max_repeated: float = 1.0
    keep_spaces: bool = False


def normalise(text: str, cleaning: Cleaning) -> str:
    """`text` in the wanted Unicode form, without controls, with newlines as `\\n` and runs of blanks cut."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n")
    text = _UNWANTED.sub("", text)
    if cleaning.form != "none":
        text = unicodedata.normalize(cleaning.form, text)
    if not cleaning.keep_spaces:
        text = _BLANKS.sub("\n\n", _TRAILING.sub("", _SPACES.sub(" ", text))).strip()
    return text


def refusal(text: str, cleaning: Cleaning) -> str | None:
    """Why a normalised document is not wanted ("short", "repeated"), or None."""
    if len(text) < max(cleaning.min_chars, 1):
        return "short"
    if cleaning.max_repeated < 1.0:
        lines = [line for line in text.split("\n") if line]
        if len(lines) > 3 and 1 - len(set(lines)) / len(lines) > cleaning.max_repeated:
            return "repeated"
    return None
