"""Counting downloads: in memory while a file is served, in the database a few seconds later.

A crash loses at most the counts of the last FLUSH_EVERY_S seconds; serving a file never waits
for the database's write lock.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from datetime import date
from weakref import WeakKeyDictionary

from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.features.repos.models import DownloadDay, Repo
from llmos.infra.db.engine import Database
from llmos.infra.db.upsert import insert_missing
from llmos.infra.runtime import Runtime

log = logging.getLogger(__name__)

FLUSH_EVERY_S = 10.0

Counts = Counter[tuple[int, date]]


class _Buffer:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counts: Counts = Counter()
        self.timer: threading.Timer | None = None

    def take(self) -> Counts:
        with self.lock:
            counts, self.counts = self.counts, Counter()
            if self.timer is not None:
                self.timer.cancel()
                self.timer = None
            return counts


_buffers: WeakKeyDictionary[Database, _Buffer] = WeakKeyDictionary()


def count_download(rt: Runtime, repo_id: int) -> None:
    """Note one download (a GET or HEAD of a file); cheap enough for every request."""
    buffer = _buffers.setdefault(rt.database, _Buffer())
    with buffer.lock:
        buffer.counts[(repo_id, clock.now().date())] += 1
        if buffer.timer is None:
            buffer.timer = threading.Timer(FLUSH_EVERY_S, flush_downloads, [rt])
            buffer.timer.daemon = True
            buffer.timer.start()


def flush_downloads(rt: Runtime) -> int:
    """Write what was counted; return how many downloads. Called by a timer and at shutdown."""
    buffer = _buffers.get(rt.database)
    counts = buffer.take() if buffer is not None else Counter()
    if not counts:
        return 0
    try:
        with rt.database.writing() as db:
            _store(db, counts)
    except SQLAlchemyError:
        log.exception("%s downloads could not be recorded", counts.total())
        return 0
    return counts.total()


def _store(db: Session, counts: Counts) -> None:
    ids = {repo_id for repo_id, _day in counts}
    present = set(db.scalars(select(Repo.id).where(Repo.id.in_(ids))))
    kept = {key: count for key, count in sorted(counts.items()) if key[0] in present}
    insert_missing(db, DownloadDay, [{"repo_id": repo_id, "day": day, "count": 0} for repo_id, day in kept])
    for (repo_id, day), count in kept.items():
        db.execute(
            update(DownloadDay)
            .where(DownloadDay.repo_id == repo_id, DownloadDay.day == day)
            .values(count=DownloadDay.count + count)
        )
        db.execute(
            update(Repo)
            .where(Repo.id == repo_id)
            .values(downloads=Repo.downloads + count, downloads_all_time=Repo.downloads_all_time + count)
        )
