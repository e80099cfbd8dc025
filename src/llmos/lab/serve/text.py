"""Tokens to text as it grows: whole characters only, whatever tokens cut them into."""

from __future__ import annotations

import codecs
import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

_SPACE = "▁"
# More pending tokens cannot be the parts of one character.
_LONGEST_CHARACTER = 4


class Spelling:
    """The bytes each token stands for; where tokens are not bytes, text by decoding several together."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.special = frozenset(tokenizer.all_special_ids)
        self._known: dict[int, bytes] = {}
        self._kind = _kind(tokenizer)

    @cached_property
    def is_bytes(self) -> bool:
        """Whether bytes of tokens one after another are the text; tried out, not believed."""
        if not self._kind:
            return False
        size = len(self.tokenizer)
        draw = np.random.Generator(np.random.Philox(7))
        for _ in range(8):
            ids = [int(n) for n in draw.integers(0, size, 16) if int(n) not in self.special]
            own = b"".join(map(self.bytes_of, ids)).decode("utf-8", "replace")
            if own.removeprefix(" ") != self._decode(ids).removeprefix(" "):
                return False
        return True

    def bytes_of(self, token: int) -> bytes:
        found = self._known.get(token)
        if found is None:
            found = self._known[token] = self._spell(token)
        return found

    def text_of(self, token: int) -> str:
        return self.bytes_of(token).decode("utf-8", "replace")

    def _spell(self, token: int) -> bytes:
        piece = self.tokenizer.convert_ids_to_tokens(token)
        if piece is None:
            return b""
        if token in self.special or token in self._added:
            return str(piece).encode()
        if self._kind == "bytelevel":
            table = _byte_table()
            if all(c in table for c in piece):
                return bytes(table[c] for c in piece)
        elif self._kind == "pieces":
            if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
                return bytes([int(piece[3:5], 16)])
            return str(piece).replace(_SPACE, " ").encode()
        return self._decode([token]).encode() or str(piece).encode()

    @cached_property
    def _added(self) -> frozenset[int]:
        return frozenset(getattr(self.tokenizer, "added_tokens_decoder", {}))

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def writer(self, before: Sequence[int] = ()) -> Writer:
        """Text that goes on after these tokens."""
        return ByteWriter(self) if self.is_bytes else WindowWriter(self, before)


class Writer:
    """`push` gives the text that is certain with this token, `end` what is left."""

    def push(self, token: int) -> str:
        raise NotImplementedError

    def end(self) -> str:
        raise NotImplementedError


class ByteWriter(Writer):
    def __init__(self, spelling: Spelling) -> None:
        self._spelling = spelling
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        if token in self._spelling.special:
            return ""
        return self._decoder.decode(self._spelling.bytes_of(token))

    def end(self) -> str:
        return self._decoder.decode(b"", True)


class WindowWriter(Writer):
    """Decodes the newest tokens with and without those not yet told, and tells the difference."""

    def __init__(self, spelling: Spelling, before: Sequence[int]) -> None:
        self._spelling = spelling
        self._ids = list(before)[-_LONGEST_CHARACTER:]
        self._told = len(self._ids)
        self._shown = spelling._decode(self._ids)

    def push(self, token: int) -> str:
        self._ids.append(token)
        return self._tell(final=False)

    def end(self) -> str:
        return self._tell(final=True)

    def _tell(self, *, final: bool) -> str:
        whole = self._spelling._decode(self._ids)
        pending = len(self._ids) - self._told
        if whole.endswith("\ufffd") and not final and pending <= _LONGEST_CHARACTER:
            return ""
        new = whole[len(self._shown) :]
        self._ids = self._ids[-_LONGEST_CHARACTER:]
        self._told, self._shown = len(self._ids), self._spelling._decode(self._ids)
        return new


class Stops:
    """Holds back text that may be the beginning of a stop string."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.found = False

    def push(self, text: str) -> str:
        if not self._stops or self.found:
            return "" if self.found else text
        text = self._held + text
        cuts = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if cuts:
            self.found, self._held = True, ""
            return text[: min(cuts)]
        keep = max(_overlap(text, stop) for stop in self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def end(self) -> str:
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Characters at the end of `text` that `stop` begins with."""
    for size in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0


def _kind(tokenizer: Any) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or backend.decoder is None:
        return ""
    names = set(_types(json.loads(backend.decoder.__getstate__())))
    if "ByteLevel" in names:
        return "bytelevel"
    if names and names <= {"Sequence", "Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"}:
        return "pieces"
    return ""


def _types(decoder: dict[str, Any]) -> list[str]:
    return [decoder["type"], *(name for part in decoder.get("decoders", ()) for name in _types(part))]


def _byte_table(known: dict[str, int] = {}) -> dict[str, int]:  # noqa: B006
    """GPT-2's: bytes that are no printable character are written as ones from 256 on."""
    if not known:
        plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
        known |= {chr(byte): byte for byte in plain}
        others = [byte for byte in range(256) if byte not in set(plain)]
        known |= {chr(256 + number): byte for number, byte in enumerate(others)}
    return known
