"""After a crash: repositories whose rows lag behind git are indexed again, by one process at a time."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pygit2 import GitError
from sqlalchemy.exc import SQLAlchemyError

from llmos.core.errors import LlmosError
from llmos.features.repos.push import reconcile
from llmos.infra.runtime import Runtime

log = logging.getLogger("llmos.mending")
# The worker mends at its start; a web process served alone waits this long for it.
WAIT_S = 5.0


def mend_in_turn(rt: Runtime, *, unless_since_s: float = 0.0) -> int | None:
    """`reconcile` under a lock of the whole instance; None where another process does it, or did since
    that time (seconds of the epoch)."""
    with _turn(rt) as last_s:
        if last_s is None or (unless_since_s and last_s >= unless_since_s):
            return None
        return reconcile(rt)


@contextmanager
def _turn(rt: Runtime) -> Iterator[float | None]:
    """When somebody last finished, 0 for never; None if somebody is at it."""
    fd = os.open(rt.settings.home / "mending.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        yield None
        return
    try:
        text = os.pread(fd, 40, 0).decode("ascii", "ignore")
        yield float(text) if text.replace(".", "", 1).isdecimal() else 0.0
        os.pwrite(fd, f"{time.time():017.6f}".encode(), 0)
    finally:
        os.close(fd)


class Mender:
    """The web process's own: a thread that mends once, unless the worker has done so."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mender", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        started_s = time.time()
        if self._stopped.wait(WAIT_S):
            return
        try:
            count = mend_in_turn(self._rt, unless_since_s=started_s)
        except (LlmosError, SQLAlchemyError, OSError, GitError):  # the server answers as well without
            log.exception("mending after the start failed")
        else:
            if count:
                log.info("indexed %d repositories again that a crash left behind", count)
