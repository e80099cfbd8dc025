"""The background process: what is told at once, and what runs beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.orm import Session

from llmos.app.worker import Periodic, work
from llmos.infra.queue import outbox
from llmos.infra.queue.outbox import emit
from llmos.infra.runtime import Runtime

TOPIC = "WorkerTest"


@pytest.fixture
def told() -> Iterator[Callable[[], bool]]:
    """Says whether an event of TOPIC was delivered within a moment."""
    seen = threading.Event()

    def handler(_db: Session, _payload: dict[str, Any]) -> None:
        seen.set()

    outbox.on(TOPIC)(handler)
    yield lambda: seen.wait(10)
    del outbox._handlers[TOPIC]


def test_news_waits_for_no_task(rt: Runtime, told: Callable[[], bool]) -> None:
    stop, gate, begun = threading.Event(), threading.Event(), threading.Event()
    runs: list[str] = []

    def slow(_rt: Runtime) -> None:
        begun.set()
        gate.wait(10)
        runs.append("slow")

    def broken(_rt: Runtime) -> None:
        runs.append("broken")
        raise RuntimeError("a task that fails stops no other")

    def last(_rt: Runtime) -> None:
        runs.append("last")
        stop.set()

    tasks = [Periodic("slow", 60, slow), Periodic("broken", 60, broken), Periodic("last", 60, last)]
    worker = threading.Thread(target=work, args=(rt, stop, tasks))
    worker.start()
    assert begun.wait(10)
    with rt.database.writing() as db:
        emit(db, TOPIC, {})
    assert told(), "the news is told while the task goes on"
    assert runs == []
    gate.set()
    worker.join(10)
    assert not worker.is_alive()
    assert runs == ["slow", "broken", "last"]
