"""Whether this process was told to stop, for answers that would otherwise stay open for a while."""

from __future__ import annotations

import contextlib
import signal
from types import FrameType
from typing import Any


class _Ending:
    has_begun = False
    is_watched = False


def watch_for_end() -> None:
    """Notice the signal to stop from now on; whatever handled it before goes on doing so."""
    if _Ending.is_watched:
        return
    _Ending.is_watched = True
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)

        def note(number: int, frame: FrameType | None, before: Any = before) -> None:
            _Ending.has_begun = True
            if callable(before):
                before(number, frame)

        with contextlib.suppress(ValueError):  # not the main thread: as in tests
            signal.signal(number, note)


def has_end_begun() -> bool:
    return _Ending.has_begun
