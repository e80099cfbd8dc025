"""The worker registry: every periodic task of the instance, and every outbox handler."""

from __future__ import annotations

import time

from llmos.app.worker import Periodic
from llmos.features.repos.lifecycle import purge_deleted_repos
from llmos.features.repos.trending import recount
from llmos.infra.runtime import Runtime

DAY_S = 86_400.0
TMP_KEPT_S = DAY_S


def periodic_tasks() -> list[Periodic]:
    """Importing the features here also registers their outbox handlers."""
    return [
        Periodic("remove stale temporary files", 3600.0, remove_stale_tmp),
        Periodic("purge deleted repositories", 3600.0, purge_deleted_repos),
        Periodic("recount downloads and trending scores", 600.0, recount),
    ]


def remove_stale_tmp(rt: Runtime) -> None:
    """Delete what interrupted uploads left in the temporary folder for more than a day."""
    limit = time.time() - TMP_KEPT_S
    for path in rt.settings.tmp_root.iterdir():
        if path.is_file() and path.stat().st_mtime < limit:
            path.unlink(missing_ok=True)
