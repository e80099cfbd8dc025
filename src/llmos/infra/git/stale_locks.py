"""Lock files that a killed process left behind: until they are gone nobody can move their ref."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from llmos.infra.git.revisions import check_ref

# Who moves a ref holds its lock for milliseconds, on a slow disk for seconds.
STALE_S = 60.0
# Locked beside the ref itself, when refs are packed, deleted or HEAD is turned.
_BESIDE = ("packed-refs", "HEAD", "config")
log = logging.getLogger(__name__)


def clear_stale_locks(git_folder: Path, refs: Iterable[str]) -> int:
    """Remove the locks of `refs`, and of what is written beside them, that are older than STALE_S; how many.

    Of several processes that find the same lock one removes it, and none a lock that was taken anew. Raises
    InvalidRef for a malformed name: it would lead elsewhere.
    """
    refs = list(refs)
    for ref in refs:
        check_ref(ref)
    locks = [git_folder / f"{name}.lock" for name in (*refs, *_BESIDE)]
    if not any(map(_is_stale, locks)):
        return 0
    removed = 0
    with _alone(git_folder):
        for lock in filter(_is_stale, locks):
            with suppress(FileNotFoundError):
                lock.unlink()
                removed += 1
                log.warning("removed %s, which a process that ended has left", lock)
    return removed


def _is_stale(lock: Path) -> bool:
    try:
        return time.time() - lock.stat().st_mtime > STALE_S
    except OSError:
        return False


@contextmanager
def _alone(git_folder: Path) -> Iterator[None]:
    """No other process removes locks of this repository meanwhile."""
    fd = os.open(git_folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
