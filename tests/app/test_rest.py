"""The worker at rest: it gives its memory back, and wakes for news and for tasks whose time has come."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from kit.runners import wait_until
from llmos.app.idling import Idleness, keep_times, kept_times
from llmos.app.rest import state_of
from llmos.app.tasks import next_work_at
from llmos.core import clock
from llmos.infra.queue.outbox import MAX_ATTEMPTS, OutboxEvent, emit
from llmos.infra.runtime import Runtime, open_runtime
from llmos.infra.settings import Settings

TOPIC = "RestTest"


@contextmanager
def _worker(home: Path, rest_s: float) -> Iterator[subprocess.Popen[bytes]]:
    env = os.environ | {
        "LLMOS_HOME": str(home),
        "LLMOS_DATABASE": f"sqlite:///{home}/llmos.db",
        "LLMOS_WORKER_REST_S": str(rest_s),
        "LLMOS_DEMO": "0",
    }
    with subprocess.Popen([sys.executable, "-m", "llmos.app.worker"], env=env) as process:
        try:
            yield process
        finally:
            process.kill()


def _program(pid: int) -> str:
    """The module that runs; for a moment between two there is none."""
    words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return words[2] if len(words) > 2 else ""


def test_worker_rests_and_wakes_for_news(tmp_path: Path) -> None:
    with _worker(tmp_path, 0.5) as process:
        wait_until(lambda: _program(process.pid) == "llmos.app.rest")
        rt = open_runtime(Settings(home=tmp_path, database=f"sqlite:///{tmp_path}/llmos.db"))
        with rt.database.writing() as db:
            emit(db, TOPIC, {})
        wait_until(lambda: _program(process.pid) == "llmos.app.worker")
        wait_until(lambda: _waiting(rt) == 0)
        rt.close()
        wait_until(lambda: _program(process.pid) == "llmos.app.rest")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM


def _waiting(rt: Runtime) -> int:
    with rt.database.reading() as db:
        return db.query(OutboxEvent).filter(OutboxEvent.topic == TOPIC).count()


def test_rest_ends_at_its_time(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"as it is")
    state = state_of(str(log))
    command = [sys.executable, "-m", "llmos.app.rest", str(log), *map(str, state), str(time.time() - 1)]
    env = os.environ | {"LLMOS_PORT": "not a port"}
    # It became the worker, which refuses these settings.
    found = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert "llmos/app/worker.py" in found.stderr
    assert found.returncode != 0


def test_state_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert state_of(str(path)) == (0, 0)
    path.write_bytes(b"four")
    assert state_of(str(path))[1] == 4


def test_tasks_keep_their_time_over_a_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_WORKER_TIMES", "{}")
    keep_times({"hourly": 1800.0, "often": -3.0})
    found = kept_times(["hourly", "often", "new"])
    assert 1790 < found["hourly"] <= 1800
    assert (found["often"], found["new"]) == (0.0, 0.0)
    assert kept_times(["hourly"]) == {"hourly": 0.0}, "they are told once"


def test_no_rest_while_something_is_due(rt: Runtime) -> None:
    def never(_db: object) -> None:
        return None

    def soon(_db: object) -> object:
        return clock.now() + timedelta(seconds=2)

    rested = Idleness(_resting(rt), never)
    assert not rested.may_begin(3600), "only after it has seen that nothing changes"
    for idleness, next_task_s, expected in (
        (Idleness(_resting(rt), soon), 3600.0, False),
        (Idleness(_resting(rt), never), 1.0, False),
        (Idleness(_resting(rt), never), 3600.0, rt.database.is_sqlite),
    ):
        assert _after_a_look(idleness, next_task_s) is expected


def _resting(rt: Runtime) -> Runtime:
    return replace(rt, settings=rt.settings.model_copy(update={"worker_rest_s": 1e-9}))


def _after_a_look(idleness: Idleness, next_task_s: float) -> bool:
    """The first look sees a state it does not know; the second one that it stays."""
    idleness.may_begin(next_task_s)
    idleness._next_look_s = 0.0
    return idleness.may_begin(next_task_s)


def test_what_needs_the_worker_again(rt: Runtime) -> None:
    later = clock.now() + timedelta(hours=3)
    with rt.database.write_session() as db:
        before = next_work_at(db)
        db.add(OutboxEvent(topic=TOPIC, payload={}, available_at=later, attempts=MAX_ATTEMPTS))
        db.flush()
        assert next_work_at(db) == before, "what was given up needs nobody"
        db.add(OutboxEvent(topic=TOPIC, payload={}, available_at=later))
        db.flush()
        assert next_work_at(db) == min(filter(None, (before, later)))
        db.rollback()
