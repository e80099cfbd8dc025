"""How often topics were read: counted in memory, written every few seconds, so that reading never writes."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from weakref import WeakKeyDictionary

from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError

from llmos.features.discussions.models import Thread
from llmos.infra.db.engine import Database
from llmos.infra.runtime import Runtime

log = logging.getLogger(__name__)
FLUSH_EVERY_S = 10.0


class _Buffer:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counts: Counter[int] = Counter()
        self.timer: threading.Timer | None = None

    def take(self) -> Counter[int]:
        with self.lock:
            counts, self.counts = self.counts, Counter()
            if self.timer is not None:
                self.timer.cancel()
                self.timer = None
            return counts


_buffers: WeakKeyDictionary[Database, _Buffer] = WeakKeyDictionary()


def count_view(rt: Runtime, thread_id: int) -> None:
    """Note that a topic was shown; cheap enough for every request."""
    buffer = _buffers.setdefault(rt.database, _Buffer())
    with buffer.lock:
        buffer.counts[thread_id] += 1
        if buffer.timer is None:
            buffer.timer = threading.Timer(FLUSH_EVERY_S, flush_views, [rt])
            buffer.timer.daemon = True
            buffer.timer.start()


def flush_views(rt: Runtime) -> int:
    """Write what was counted; returns how many. Called by the timer and when the server stops."""
    buffer = _buffers.get(rt.database)
    counts = buffer.take() if buffer is not None else Counter()
    if not counts:
        return 0
    try:
        with rt.database.writing() as db:
            for thread_id, count in sorted(counts.items()):
                more = Thread.view_count + count
                db.execute(update(Thread).where(Thread.id == thread_id).values(view_count=more))
    except SQLAlchemyError:
        log.exception("%s views of topics could not be recorded", counts.total())
        return 0
    return counts.total()
