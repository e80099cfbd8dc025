"""The worker registry: every periodic task of the instance, and every outbox handler."""

from __future__ import annotations

import logging
import threading

from llmos.app.worker import Periodic, Task
from llmos.features.auth.sessions import remove_expired
from llmos.features.repos.lifecycle import purge_deleted_repos
from llmos.features.repos.push import reconcile
from llmos.features.repos.trending import recount
from llmos.features.repos.xet_claims import collect_unclaimed, verify_claims
from llmos.features.storage.gc import clean_tmp
from llmos.features.storage.multipart import drop_expired_uploads
from llmos.features.storage.xet.scrub import scrub
from llmos.infra.mail import outgoing as _outgoing  # noqa: F401  # registers the delivery of mail
from llmos.infra.runtime import Runtime

log = logging.getLogger("llmos.worker")

MINUTE_S = 60.0
HOUR_S = 3600.0


class Aside:
    """Runs a task that may take minutes in a thread of its own, so that news need not wait.

    A call while the last run goes on does nothing. The thread ends with the process: only for
    tasks that may be killed at any point.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._thread: threading.Thread | None = None

    def __call__(self, rt: Runtime) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        self._thread = threading.Thread(target=self._run, args=(rt,), daemon=True)
        self._thread.start()

    def _run(self, rt: Runtime) -> None:
        try:
            self._task(rt)
        except Exception:  # worker loop: one failing task must not stop the others
            log.exception("task %s failed", getattr(self._task, "__name__", self._task))


def periodic_tasks() -> list[Periodic]:
    """In the order of their first run, right after the start: what a crash left is mended first.

    Importing the features here also registers their outbox handlers.
    """
    return [
        Periodic("index what a crash left behind", 10 * MINUTE_S, reconcile),
        Periodic("remove stale temporary files", HOUR_S, clean_tmp),
        Periodic("drop expired multipart uploads", HOUR_S, drop_expired_uploads),
        Periodic("end expired sessions", HOUR_S, remove_expired),
        Periodic("purge deleted repositories", HOUR_S, purge_deleted_repos),
        Periodic("hash large files that were just uploaded", 5.0, Aside(verify_claims)),
        Periodic("read stored chunks again", 5 * MINUTE_S, Aside(scrub)),
        Periodic("remove chunks that nobody uses", 24 * HOUR_S, Aside(collect_unclaimed)),
        Periodic("recount downloads and trending scores", 10 * MINUTE_S, recount),
    ]
