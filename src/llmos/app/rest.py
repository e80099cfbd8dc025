"""What the worker becomes while nothing happens: a tenth of its memory, looking at one file.

The worker puts this program in its own place (`exec`: the supervisor sees the same process) when the
database has long been as it is. This one puts the worker back once the write-ahead log of the database
is another than it was, or when the time has come that it was told. Imports nothing heavy.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import NoReturn

# From an event to the worker that wakes for it.
LOOK_S = 0.1
State = tuple[int, int]


def state_of(path: str) -> State:
    """When the file was written last, in nanoseconds, and its bytes; zeros where there is none."""
    with contextlib.suppress(FileNotFoundError):
        found = os.stat(path)
        return found.st_mtime_ns, found.st_size
    return 0, 0


def rest(path: str, known: State, until: float) -> NoReturn:
    """Wait until the file at `path` is not as `known`, or until the time (unix seconds); then work."""
    while state_of(path) == known and time.time() < until:
        time.sleep(LOOK_S)
    become("llmos.app.worker")


def become(module: str, *arguments: str) -> NoReturn:
    """Go on as another program: what this one held is gone, its number and its parent stay."""
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


if __name__ == "__main__":
    _path, _written_ns, _size_bytes, _until = sys.argv[1:]
    rest(_path, (int(_written_ns), int(_size_bytes)), float(_until))
