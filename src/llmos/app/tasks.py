"""The worker registry: every periodic task of the instance, and every outbox handler."""

from __future__ import annotations

from llmos.app.worker import Periodic
from llmos.features.auth.sessions import remove_expired
from llmos.features.repos.lifecycle import purge_deleted_repos
from llmos.features.repos.push import reconcile
from llmos.features.repos.trending import recount
from llmos.features.storage.gc import clean_tmp
from llmos.features.storage.multipart import drop_expired_uploads

MINUTE_S = 60.0
HOUR_S = 3600.0


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
        Periodic("recount downloads and trending scores", 10 * MINUTE_S, recount),
    ]
