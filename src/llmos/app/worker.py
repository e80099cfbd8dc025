"""The background process: delivers the outbox and runs the periodic tasks.

A task registers itself by `@every(seconds)`; it must be safe to run again after a crash.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from llmos.app.schema import ensure_schema
from llmos.infra.queue.outbox import deliver_due
from llmos.infra.runtime import Runtime, open_runtime
from llmos.infra.settings import get_settings
from llmos.infra.settled import settle

log = logging.getLogger("llmos.worker")

# As often as open pages ask: from an event to the pages that show it, two such waits and the work.
IDLE_S = 0.1
Task = Callable[[Runtime], object]


@dataclass
class Periodic:
    """`period_s` counts from the end of one run to the start of the next."""

    name: str
    period_s: float
    run: Task
    next_at: float = 0.0


class Aside:
    """Runs a task that may take minutes in a thread of its own, so that news need not wait.

    A call while the last run goes on does nothing. The thread ends with the process: only for
    tasks that may be killed at any point.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self._thread: threading.Thread | None = None

    def __call__(self, rt: Runtime) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        self._thread = threading.Thread(target=self._run, args=(rt,), daemon=True)
        self._thread.start()

    def _run(self, rt: Runtime) -> None:
        try:
            self.task(rt)
        except Exception:  # worker loop: one failing task must not stop the others
            log.exception("task %s failed", getattr(self.task, "__name__", self.task))


def run_due(rt: Runtime, tasks: list[Periodic], now_s: float, stop: threading.Event | None = None) -> None:
    """Run every task whose time has come; a failing one is logged and waits its full period."""
    for task in tasks:
        if now_s < task.next_at or (stop is not None and stop.is_set()):
            continue
        try:
            task.run(rt)
        except Exception:  # worker loop: one failing task must not stop the others
            log.exception("task %s failed", task.name)
        task.next_at = time.monotonic() + task.period_s


def work(rt: Runtime, stop: threading.Event, tasks: list[Periodic] | None = None) -> None:
    """Deliver the outbox until told to stop; the tasks run beside it, so that news waits for none."""
    from llmos.app.tasks import periodic_tasks

    due = periodic_tasks() if tasks is None else tasks
    beside = threading.Thread(target=_run_tasks, args=(rt, due, stop), name="tasks")
    beside.start()
    while not stop.is_set():
        delivered = 0
        try:
            delivered = deliver_due(rt.database, side="inside")
        except Exception:  # worker loop: the database may be away for a moment
            log.exception("outbox delivery failed")
        if not delivered:
            stop.wait(IDLE_S)
    beside.join()


def _run_tasks(rt: Runtime, tasks: list[Periodic], stop: threading.Event) -> None:
    run_due(rt, tasks, time.monotonic(), stop)
    settle()
    while not stop.wait(IDLE_S):
        run_due(rt, tasks, time.monotonic(), stop)


def main() -> None:
    settings = get_settings()
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    rt = open_runtime(settings)
    try:
        ensure_schema(rt)
        work(rt, stop)
    finally:
        rt.close()


if __name__ == "__main__":
    main()
