"""What a run tells: lines for people on the terminal, `wire.JobEvent`s for the runner, curves on disk."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from llmos.wire.jobs import LogLine, MetricPoint, Phase, Progress

# Back to the beginning of the line, and nothing on it.
_CLEARED = "\r\x1b[K"


class Reporter:
    """Says everything once, to whoever listens.

    `events` is a path or the number of an open file descriptor; each line written there is one JobEvent.
    `quiet` keeps the terminal free, for callers that want JSON there.
    """

    def __init__(self, *, events: str | None = None, quiet: bool = False) -> None:
        self._file: IO[str] | None = None
        if events is not None:
            # Appended to: a resumed run goes on in the file of the first one.
            target: Any = int(events) if events.isdigit() else events
            self._file = open(target, "w" if events.isdigit() else "a", encoding="utf-8")  # noqa: SIM115
        self._quiet = quiet
        self._curves: Any = None
        self._last_line_at = 0.0
        self._bar = ""
        self.history: list[tuple[int, str, float]] = []
        self.on_checkpoint: Callable[[Path, int], None] | None = None

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_bar()
        if self._curves is not None:
            self._curves.close()
        if self._file is not None:
            self._file.close()

    def draw_curves(self, folder: Path) -> None:
        """Write TensorBoard event files into `folder` from now on."""
        from torch.utils.tensorboard import SummaryWriter

        self._curves = SummaryWriter(str(folder), flush_secs=15)

    def end_curves(self) -> None:
        """Close the event files, and take the name of this machine out of theirs: they may be published."""
        if self._curves is None:
            return
        folder = Path(self._curves.get_logdir())
        self._curves.close()
        self._curves = None
        for path in folder.glob("events.out.tfevents.*"):
            name = path.name.replace(f".{socket.gethostname()}.", ".")
            path.rename(path.with_name(name))

    def say(self, text: str) -> None:
        for line in text.splitlines() or [""]:
            self._print(line)
            self._emit(LogLine(text=line[:16_000]))

    def phase(self, name: str) -> None:
        self._print(f"== {name}")
        self._emit(Phase(phase=name))

    def progress(self, done: float, total: float, unit: str) -> None:
        self._emit(Progress(done=done, total=total, unit=unit))

    @property
    def has_terminal(self) -> bool:
        """Whether a person watches: bars are drawn for nobody else."""
        return not self._quiet and sys.stdout.isatty()

    def bar(self, done: float, total: float, unit: str, *, what: str = "") -> None:
        """Progress that people at a terminal see as one line, the last one until all is done.

        `what` stands before it.
        """
        self.progress(done, total, unit)
        if self.has_terminal:
            filled = min(30, int(30 * done / total)) if total else 30
            line = f"[{'#' * filled}{'.' * (30 - filled)}] {done:,.0f} of {total:,.0f} {unit}"
            self._bar = f"{what} {line}" if what else line
            print(f"{_CLEARED}{self._bar}", end="", flush=True, file=sys.stdout)
            if done >= total:
                self.end_bar()

    def end_bar(self) -> None:
        """The bar stays as it is, done or not: what is printed next stands below it."""
        if self._bar:
            self._bar = ""
            print(flush=True, file=sys.stdout)

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """Points of curves. People see a line at most every second; the rest sees all."""
        for name, value in values.items():
            self.history.append((step, name, value))
            self._emit(MetricPoint(step=step, name=name, value=value))
            if self._curves is not None:
                self._curves.add_scalar(name, value, step)
        now = time.monotonic()
        if now - self._last_line_at >= 1.0 or any(name.startswith("eval/") for name in values):
            self._last_line_at = now
            shown = "  ".join(f"{name.split('/')[-1]} {value:.4g}" for name, value in values.items())
            part = "held-out part: " if all(name.startswith("eval/") for name in values) else ""
            self._print(f"step {step}: {part}{shown}")

    def figure(self, name: str, value: float) -> None:
        """One figure that is no point of a curve; people are told of it otherwise."""
        self._emit(MetricPoint(step=0, name=name, value=value))

    def checkpoint(self, folder: Path, step: int) -> None:
        """A checkpoint lies whole in `folder`: the runner publishes it."""
        if self.on_checkpoint is not None:
            self.on_checkpoint(folder, step)
        if self._file is not None:
            path = os.path.relpath(folder).replace('"', "")
            self._file.write(f'{{"kind":"checkpoint","path":"{path}","step":{step}}}\n')
            self._file.flush()

    def pass_on(self, line: str) -> None:
        """An event that another process of this run has written."""
        if self._file is not None:
            self._file.write(line)
            self._file.flush()

    def _emit(self, event: LogLine | MetricPoint | Phase | Progress) -> None:
        if self._file is not None:
            self._file.write(event.model_dump_json(exclude_defaults=False) + "\n")
            self._file.flush()

    def _print(self, line: str) -> None:
        if not self._quiet:
            # A bar that is not full stays the last line.
            before, after = (_CLEARED, self._bar) if self._bar else ("", "")
            print(f"{before}{line}\n{after}", end="", flush=True, file=sys.stdout)
