"""What a process does once it has started: gives back what only the start needed."""

from __future__ import annotations

import ctypes
import gc

# New objects before a look at them, such looks before one at the survivors, and those before one at all.
# With Python's own 700, 10 and 10 a page in twenty waited 25 to 75 ms for a look at every cache.
_THRESHOLDS = (10_000, 20, 20)


def settle() -> None:
    """Collect what the start left, never look at what stays again, and return free memory.

    A full collection over the program itself would hold up requests for a tenth of a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    gc.enable()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
    if trim is not None:
        trim(0)
