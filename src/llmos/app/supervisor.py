"""`llmos up`: every part of an instance under one parent.

Imports nothing heavy: the parent stays small beside the parts it watches. A part that ends is
started again after 1, 2, 4 … 30 seconds; one that ran for a minute counts as healthy again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import FrameType

from llmos.app.stopping import StopSignal

log = logging.getLogger("llmos.supervisor")

MAX_BACKOFF_S = 30.0
HEALTHY_AFTER_S = 60.0
STOP_LIMIT_S = 20.0
# A process that was killed may be held by a disk that does not answer.
KILL_LIMIT_S = 5.0
READY_LIMIT_S = 20.0
# EX_CONFIG of sysexits.h: starting again would not help.
WRONG_SETTINGS = 78
# By default every thread may get a heap of its own, which then stays half empty; and code keeps the
# columns of every instruction, for marks in tracebacks. Pydantic looks for plugins in every package.
CHILD_ENV = {"MALLOC_ARENA_MAX": "1", "PYTHONNODEBUGRANGES": "1", "PYDANTIC_DISABLE_PLUGINS": "__all__"}


@dataclass
class Part:
    """One child process: `command` runs until stopped; `once` parts may end well.

    `delay_s` holds a part back after the first page can be had, which need not share the machine so.
    """

    name: str
    command: Sequence[str]
    once: bool = False
    delay_s: float = 0.0
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    failures: int = 0
    next_start_at: float = 0.0
    done: bool = False
    env: dict[str, str] = field(default_factory=dict)

    def start(self, ready_fd: int | None = None) -> None:
        """Start the process; `ready_fd` is where it says that it is ready."""
        env = CHILD_ENV | dict(os.environ) | self.env
        kept = () if ready_fd is None else (ready_fd,)
        if ready_fd is not None:
            env["LLMOS_READY_FD"] = str(ready_fd)
        self.process = subprocess.Popen(list(self.command), env=env, start_new_session=True, pass_fds=kept)
        self.started_at = time.monotonic()
        log.info("%s started (pid %d)", self.name, self.process.pid)

    def signal_group(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)


class Supervisor:
    """Starts the parts, restarts what crashes, stops all on SIGINT or SIGTERM.

    The first part starts at once, the others when it is ready: when it has closed its copy of the
    pipe that LLMOS_READY_FD names, or after READY_LIMIT_S.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = list(parts)
        self._stop = StopSignal()
        self._ready_fd: int | None = None
        self._is_refused = False

    def run(self) -> int:
        """Block until told to stop; then end every part. The exit code: 1 if the settings are wrong."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        first, *others = self.parts
        self._ready_fd, told_fd = os.pipe()
        os.set_blocking(self._ready_fd, False)
        first.start(told_fd)
        os.close(told_fd)
        deadline = time.monotonic() + READY_LIMIT_S
        for part in others:
            part.next_start_at = deadline + part.delay_s
        while not self._stop.wait(0.1):
            if self._ready_fd is not None and self._was_told():
                for part in others:
                    part.next_start_at = min(part.next_start_at, time.monotonic() + part.delay_s)
            for part in self.parts:
                self._watch(part)
        self._shut_down()
        return 1 if self._is_refused else 0

    def _was_told(self) -> bool:
        """Whether the first part became ready just now."""
        assert self._ready_fd is not None
        try:
            told = os.read(self._ready_fd, 1)
        except BlockingIOError:
            return False
        os.close(self._ready_fd)
        self._ready_fd = None
        return bool(told)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._stop.is_set():  # a second Ctrl-C: no more patience
            for part in self.parts:
                part.signal_group(signal.SIGKILL)
        self._stop.set()

    def _watch(self, part: Part) -> None:
        if part.done:
            return
        if part.process is not None:
            code = part.process.poll()
            if code is None:
                return
            self._ended(part, code)
        elif time.monotonic() >= part.next_start_at:
            part.start()

    def _ended(self, part: Part, code: int) -> None:
        part.process = None
        if code == WRONG_SETTINGS and part is self.parts[0] and not part.failures:
            self._is_refused = True
            self._stop.set()
            return
        if part.once and code == 0:
            part.done = True
            log.info("%s finished", part.name)
            return
        if time.monotonic() - part.started_at > HEALTHY_AFTER_S:
            part.failures = 0
        delay_s = min(2.0**part.failures, MAX_BACKOFF_S)
        part.failures += 1
        part.next_start_at = time.monotonic() + delay_s
        log.warning("%s ended with %s; starting it again in %.0f s", part.name, _why(code), delay_s)

    def _shut_down(self) -> None:
        log.info("stopping")
        for part in self.parts:
            part.signal_group(signal.SIGTERM)
        deadline = time.monotonic() + STOP_LIMIT_S
        for part in self.parts:
            if part.process is None:
                continue
            try:
                part.process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                log.warning("%s did not stop in %.0f s and is killed", part.name, STOP_LIMIT_S)
                part.signal_group(signal.SIGKILL)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    part.process.wait(KILL_LIMIT_S)
        log.info("stopped")


def _why(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def python_part(name: str, module: str, *, once: bool = False, delay_s: float = 0.0) -> Part:
    return Part(name, [sys.executable, "-m", module], once=once, delay_s=delay_s)


def main() -> int:
    """The parts of an instance; `llmos up` becomes this process."""
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    parts = [
        python_part("web", "llmos.app.serve"),
        # Prints the address once the web process answers.
        python_part("greeting", "llmos.app.greeting", once=True, delay_s=0.3),
        python_part("worker", "llmos.app.worker", delay_s=1.5),
    ]
    if os.environ.get("LLMOS_EXTRAS", "all") != "hub" or os.environ.get("LLMOS_RUNNER") == "on":
        # Ends well where the settings want no jobs here, or where none can be shut in.
        parts.append(python_part("runner", "llmos.cli.builtin_runner", once=True, delay_s=3.0))
    if os.environ.get("LLMOS_EXTRAS", "all") != "hub":
        parts.append(python_part("training side", "llmos.app.install_lab", once=True, delay_s=4.0))
    return Supervisor(parts).run()


if __name__ == "__main__":
    sys.exit(main())
