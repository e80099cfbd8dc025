"""Open pages that wait for news: what they cost, and how soon news is there."""

from __future__ import annotations

import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from benchmarks.bench import MB, Bench, memory_bytes, percentile
from benchmarks.report import Row
from kit.people import add_person, add_token
from llmos.features.accounts.models import User
from llmos.features.auth.credentials import actor_for_user
from llmos.features.discussions.categories import access_category, ensure_categories
from llmos.features.discussions.comments import add_comment
from llmos.features.discussions.models import Thread
from llmos.features.discussions.threads import open_topic
from llmos.features.notifications.models import Notification
from llmos.features.notifications.watching import note_part
from llmos.infra.queue.outbox import OutboxEvent

READERS = 200
BURST = 50
COMMENTS = 10
_LIMIT_S = 20.0


def live(bench: Bench) -> Iterator[Row]:
    """200 signed-in readers; one event for all of them, fifty at once, and comments in their thread.

    Counted until each reader has the last of it: from the COMMIT that holds the news for the first
    two, from the COMMIT of the (last) comment for the others, whose news the worker makes.
    """
    with bench.rt.database.writing() as db:
        people = [add_person(db, f"reader-{number:03d}") for number in range(READERS)]
        tokens = [add_token(db, person) for person in people]
        ids = [person.id for person in people]
    before = memory_bytes(bench.server.process.pid)
    readers = [_connect(bench.server.port, token) for token in tokens]
    _wait_for(readers, b"event: unread", 1)
    time.sleep(1.0)  # until the server's task knows what is old
    single = [took for turn in range(5) for took in _tell(bench, readers, ids, 1, f"one:{turn}")]
    burst = _tell(bench, readers, ids, BURST, "burst")
    topic_id = _topic(bench, ids)
    with _worker(bench):
        comment = [took for _ in range(5) for took in _comment(bench, readers, topic_id, 1)]
        comments = _comment(bench, readers, topic_id, COMMENTS)
    added = (memory_bytes(bench.server.process.pid) - before) / MB
    for reader in readers:
        reader.close()
    yield Row(f"memory of {READERS} open pages", f"{added:.0f} MB", "limit 100 MB", added / 100, at_most=1.0)
    for name, took in (
        ("one event", single),
        (f"{BURST} events at once", burst),
        ("a comment, by the worker,", comment),
        (f"{COMMENTS} comments in a row, by the worker,", comments),
    ):
        p95 = percentile(took, 0.95)
        yield Row(f"{name} to {READERS} open pages, p95", f"{p95:.2f} s", "limit 1 s", p95, at_most=1.0)


@contextmanager
def _worker(bench: Bench) -> Iterator[None]:
    """The background process, once it has done what waited."""
    log = (bench.server.home / "worker.log").open("ab")
    process = subprocess.Popen(
        [sys.executable, "-m", "llmos.app.worker"], env=bench.server.env, stdout=log, stderr=log
    )
    try:
        ends_at = time.monotonic() + _LIMIT_S
        while _has_waiting(bench):
            if process.poll() is not None or time.monotonic() > ends_at:
                raise RuntimeError("the worker does not deliver")
            time.sleep(0.1)
        time.sleep(2.0)  # the tasks that run at the start
        yield
    finally:
        process.terminate()
        process.wait()
        log.close()


def _has_waiting(bench: Bench) -> bool:
    with bench.rt.database.reading() as db:
        return db.scalar(select(OutboxEvent.id).limit(1)) is not None


def _topic(bench: Bench, ids: list[int]) -> int:
    """A topic in which every reader takes part."""
    ensure_categories(bench.rt)
    with bench.rt.database.writing() as db:
        topic = open_topic(db, actor_for_user(db, _grace(db)), access_category(db, "help"), "NaN?", "Why?")
        note_part(db, topic.id, ids)
        return topic.id


def _comment(bench: Bench, readers: list[socket.socket], topic_id: int, count: int) -> list[float]:
    for number in range(count):
        with bench.rt.database.writing() as db:
            topic = db.get_one(Thread, topic_id)
            add_comment(db, actor_for_user(db, _grace(db)), topic, f"Lower the learning rate: {number}.")
    return _wait_for(readers, b"event: news", count)


def _grace(db: Session) -> User:
    return db.scalars(select(User).where(User.email_key == "grace@example.org")).one()


def _connect(port: int, token: str) -> socket.socket:
    opened = socket.create_connection(("127.0.0.1", port), timeout=_LIMIT_S)
    head = (
        f"GET /notifications/live HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    opened.sendall(head.encode())
    return opened


def _tell(bench: Bench, readers: list[socket.socket], ids: list[int], count: int, key: str) -> list[float]:
    with bench.rt.database.writing() as db:
        _write(db, ids, count, key)
    return _wait_for(readers, b"event: news", count)


def _write(db: Session, ids: list[int], count: int, key: str) -> None:
    actor = _grace(db).id
    rows = [
        {
            "user_id": reader, "event_key": f"{key}:{number}", "reason": "follow", "kind": "followed",
            "actor_id": actor, "title": f"grace {number}", "href": "/grace",
        }
        for number in range(count)
        for reader in ids
    ]  # fmt: skip
    db.execute(insert(Notification), rows)


def _wait_for(readers: list[socket.socket], mark: bytes, count: int) -> list[float]:
    """Seconds from now until each reader has seen the mark `count` times."""
    started = time.perf_counter()
    chooser = selectors.DefaultSelector()
    for reader in readers:
        chooser.register(reader, selectors.EVENT_READ, bytearray())
    took: list[float] = []
    while len(took) < len(readers):
        if time.perf_counter() - started > _LIMIT_S:
            raise RuntimeError(f"only {len(took)} of {len(readers)} open pages saw {mark!r} {count} times")
        for chosen, _ in chooser.select(1.0):
            part = chosen.fileobj.recv(65536)  # type: ignore[union-attr]
            if not part:
                raise RuntimeError(f"an open page ended: {bytes(chosen.data)!r}")
            chosen.data.extend(part)
            if chosen.data.count(mark) >= count and chosen.data.rstrip(b"\r\n0").endswith(b"}"):
                took.append(time.perf_counter() - started)
                chooser.unregister(chosen.fileobj)
    chooser.close()
    return took
