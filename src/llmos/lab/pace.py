"""Long work tells how far it is: each second to a page and a terminal, now and then to a log."""

from __future__ import annotations

import time
from types import TracebackType

from llmos.lab.events import Reporter

# Work that takes less than the first says nothing; then an event, a line of a log, every so often.
QUIET_S = 2.0
EVENT_S = 1.0
LINE_S = 20.0


class Pace:
    """Told how much is done as often as one likes, passes on what is worth it; leaving it ends the bar."""

    def __init__(self, reporter: Reporter, what: str, unit: str, *, scale: float = 1.0) -> None:
        """`scale` is what one of `unit` holds: 1e6 for bytes told in MB."""
        self._reporter, self._what, self._unit, self._scale = reporter, what, unit, scale
        now = time.monotonic()
        self._event_at, self._line_at = now + QUIET_S - EVENT_S, now
        self._shown = 0.0

    def __enter__(self) -> Pace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown and kind is None:
            self._reporter.bar(self._shown, self._shown, self._unit, what=self._what)

    def __call__(self, done: float, total: float) -> None:
        now = time.monotonic()
        if now - self._event_at < EVENT_S:
            return
        self._event_at, self._shown = now, total / self._scale
        done /= self._scale
        # The end of the bar is drawn on leaving, when all that was read has been written, too.
        self._reporter.bar(min(done, 0.999 * self._shown), self._shown, self._unit, what=self._what)
        if now - self._line_at >= LINE_S and not self._reporter.has_terminal:
            self._line_at = now
            self._reporter.say(f"{self._what}: {done:,.0f} of {self._shown:,.0f} {self._unit}")
