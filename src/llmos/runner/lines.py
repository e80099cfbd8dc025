"""Turns what a program prints into log lines: whole, short enough, progress bars thinned out."""

from __future__ import annotations

import time

MAX_LINE_CHARS = 16_000
_BAR_EVERY_S = 5.0


class LineSplitter:
    """Feed bytes in, take lines out. Of text redrawn with carriage returns the last state counts."""

    def __init__(self) -> None:
        self._rest = b""
        self._bar_at = time.monotonic()

    def feed(self, data: bytes) -> list[str]:
        *whole, self._rest = (self._rest + data).split(b"\n")
        out = [text for line in whole for text in _texts(line)]
        if b"\r" in self._rest:
            self._rest = self._rest[self._rest.rstrip(b"\r").rfind(b"\r") + 1 :]
            if (now := time.monotonic()) - self._bar_at >= _BAR_EVERY_S:
                self._bar_at = now
                out += _texts(self._rest)
        while len(self._rest) > MAX_LINE_CHARS:
            head, self._rest = self._rest[:MAX_LINE_CHARS], self._rest[MAX_LINE_CHARS:]
            out += _texts(head)
        return out

    def end(self) -> list[str]:
        """What is left when the program has closed its output."""
        rest, self._rest = self._rest, b""
        return _texts(rest) if rest else []


def _texts(line: bytes) -> list[str]:
    shown = line.rstrip(b"\r")
    shown = shown[shown.rfind(b"\r") + 1 :]
    text = shown.decode("utf-8", "replace")
    return [text[at : at + MAX_LINE_CHARS] for at in range(0, len(text), MAX_LINE_CHARS)] or [""]
