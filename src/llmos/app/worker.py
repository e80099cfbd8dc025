"""The background process: delivers the outbox and runs the periodic tasks.

The tasks are listed in `app.tasks`; each must be safe to run again after a crash. Where nothing has happened
for a while the process rests (`app.rest`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from llmos.app.idling import SELDOM_S, Idleness, keep_times, kept_times
from llmos.app.schema import ensure_schema
from llmos.app.stopping import StopSignal, let_signals_end, told_to_stop
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

    @property
    def is_under_way(self) -> bool:
        """Whether threads of it go on after `run` has returned."""
        return bool(getattr(self.run, "is_busy", False))


class Aside:
    """Runs a task that may take minutes in a thread of its own, so that news need not wait.

    A call while the last run goes on does nothing. The thread ends with the process: only for
    tasks that may be killed at any point.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self._thread: threading.Thread | None = None

    @property
    def is_busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def __call__(self, rt: Runtime) -> None:
        if self.is_busy:
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


def work(
    rt: Runtime, stop: threading.Event | StopSignal, tasks: list[Periodic] | None = None
) -> Idleness | None:
    """Deliver the outbox until told to stop; the tasks run beside it, so that news waits for none.

    Returns sooner, with the rest to begin, where nothing is left to do.
    """
    from llmos.app.tasks import next_work_at, periodic_tasks

    due = periodic_tasks() if tasks is None else tasks
    idleness, ended = Idleness(rt, next_work_at), threading.Event()
    waits_s = kept_times([task.name for task in due])
    for task in due:
        task.next_at = time.monotonic() + waits_s[task.name]
    beside = threading.Thread(target=_run_tasks, args=(rt, due, ended), name="tasks")
    beside.start()
    while not stop.is_set():
        delivered = 0
        try:
            delivered = deliver_due(rt.database, side="inside")
        except Exception:  # worker loop: the database may be away for a moment
            log.exception("outbox delivery failed")
        if not delivered:
            if idleness.may_begin(_next_task_s(due)):
                break
            stop.wait(IDLE_S)
    ended.set()
    beside.join()
    if stop.is_set():
        return None
    keep_times({task.name: task.next_at - time.monotonic() for task in due})
    return idleness


def _next_task_s(tasks: list[Periodic]) -> float:
    """How long the next of the seldom tasks can wait; the others only look for what has changed."""
    if any(task.is_under_way for task in tasks):
        return 0.0
    return min((task.next_at - time.monotonic() for task in tasks if task.period_s >= SELDOM_S), default=0.0)


def _run_tasks(rt: Runtime, tasks: list[Periodic], ended: threading.Event) -> None:
    run_due(rt, tasks, time.monotonic(), ended)
    settle()
    while not ended.wait(IDLE_S):
        run_due(rt, tasks, time.monotonic(), ended)


def main() -> None:
    settings = get_settings()
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    stop = told_to_stop()
    rt = open_runtime(settings)
    try:
        ensure_schema(rt)
        idleness = work(rt, stop)
    finally:
        rt.close()
    let_signals_end()  # one that comes in between must not be lost to the program that follows
    if idleness is not None and not stop.is_set():
        idleness.begin()


if __name__ == "__main__":
    main()
