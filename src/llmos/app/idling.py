"""When the worker may rest, and what it must not forget meanwhile.

Only with SQLite, whose every change is a change of one file on this machine.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NoReturn

from sqlalchemy.orm import Session

from llmos.app.rest import State, become, state_of
from llmos.infra.runtime import Runtime

# A task that runs at least this often looks for changes, and a change ends the rest.
SELDOM_S = 600.0
# A rest shorter than that is not worth the start after it.
_WORTH_S = 5.0
_LOOK_S = 1.0
_TIMES = "LLMOS_WORKER_TIMES"

NextWork = Callable[[Session], datetime | None]


class Idleness:
    """Watches the database of a worker; `next_work` says when rows as they are need one again."""

    def __init__(self, rt: Runtime, next_work: NextWork) -> None:
        self._rt, self._next_work = rt, next_work
        self._is_possible = rt.database.is_sqlite and rt.settings.worker_rest_s > 0
        self._path = f"{rt.database.url.database}-wal"
        self._known: State = (-1, -1)
        self._since_s = self._next_look_s = time.monotonic()

    def may_begin(self, next_task_s: float) -> bool:
        """Whether nothing has changed for `worker_rest_s` and nothing will have to be done soon.

        `next_task_s` is how long the next task can wait.
        """
        now_s = time.monotonic()
        if not self._is_possible or now_s < self._next_look_s:
            return False
        self._next_look_s = now_s + _LOOK_S
        if (found := state_of(self._path)) != self._known:
            self._known, self._since_s = found, now_s
        if now_s - self._since_s < self._rt.settings.worker_rest_s or next_task_s < _WORTH_S:
            return False
        with self._rt.database.reading() as db:
            next_at = self._next_work(db)
        self._until = time.time() + next_task_s
        if next_at is not None:
            self._until = min(self._until, next_at.timestamp())
        return self._until - time.time() >= _WORTH_S

    def begin(self) -> NoReturn:
        """Only after `may_begin`; what was written since then ends the rest at once."""
        become("llmos.app.rest", self._path, *map(str, self._known), str(self._until))


def keep_times(next_at_s: dict[str, float]) -> None:
    """Leave to the worker after the rest when each task is due: in so many seconds from now."""
    now = time.time()
    os.environ[_TIMES] = json.dumps({name: now + wait_s for name, wait_s in next_at_s.items()})


def kept_times(names: Sequence[str]) -> dict[str, float]:
    """In how many seconds each task is due; of one that was never told: now."""
    kept = json.loads(os.environ.pop(_TIMES, "{}"))
    now = time.time()
    return {name: max(kept.get(name, now) - now, 0.0) for name in names}
