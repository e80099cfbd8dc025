"""File names that some file systems cannot keep apart."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


def fold_name(name: bytes) -> bytes:
    """Equal for two names of one folder exactly if some common file system takes them for one."""
    if name.isascii():
        return name.lower()
    text = name.decode("utf-8", "surrogateescape")
    return unicodedata.normalize("NFC", text).casefold().encode("utf-8", "surrogateescape")


def fold_names(names: Iterable[bytes]) -> set[bytes]:
    # One call for all names: a folder of 10,000 files is checked for every file added to it.
    joined = b"\0".join(names)
    if joined.isascii():
        return set(joined.lower().split(b"\0"))
    return {fold_name(name) for name in joined.split(b"\0")}
