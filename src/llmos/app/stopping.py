"""To be told by a signal to stop, and to wait for it."""

from __future__ import annotations

import signal
import time


class StopSignal:
    """Whether SIGINT or SIGTERM came.

    Not a `threading.Event`: a handler runs in the middle of whatever the main thread does, and an event
    that is set while that thread holds its lock, as it does within `wait`, waits for itself for ever.
    """

    def __init__(self) -> None:
        self.count = 0

    def is_set(self) -> bool:
        return self.count > 0

    def set(self) -> None:
        self.count += 1

    def wait(self, timeout_s: float) -> bool:
        """Sleep until the time is over or a signal came, which may take a tenth of a second longer."""
        ends_at = time.monotonic() + timeout_s
        while not self.is_set() and (left_s := ends_at - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.1))
        return self.is_set()


def told_to_stop() -> StopSignal:
    """What the signals set from now on; in the main thread only."""
    stop = StopSignal()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop


def let_signals_end() -> None:
    """From now on either signal ends the process at once."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
