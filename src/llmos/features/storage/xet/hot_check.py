"""Read the raw copies of hot files again: nothing else would notice that a disk has changed a byte.

A copy is compared with the chunk hashes of its file and dropped where it differs; the next reader
gets the chunks, and makes a new one.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from pathlib import Path

from llmos.core.errors import LlmosError
from llmos.features.storage.xet.hot import hot_root
from llmos.features.storage.xet.models import XetFile
from llmos.features.storage.xet.tables import TableCache, unpack_terms
from llmos.infra.runtime import Runtime
from llmos.infra.xet.hashes import hash_chunk

log = logging.getLogger(__name__)

CHECK_EVERY = timedelta(days=7)
BUDGET_BYTES = 1024**3


def check_hot(rt: Runtime, *, budget_bytes: int = BUDGET_BYTES, every: timedelta = CHECK_EVERY) -> list[str]:
    """Check the copies in the order of their names, on from where the last call ended, and begin
    anew when `every` has passed since the last beginning; the names of those dropped.

    About 0.5 s of processor time for 1 GiB. Safe beside readers, and to be killed.
    """
    last, began_s = _read_turn(rt)
    if not last:
        if time.time() - began_s < every.total_seconds():
            return []
        began_s = time.time()
    dropped: list[str] = []
    read_bytes = 0
    for path in sorted(hot_root(rt).glob("??/*"), key=lambda path: path.name):
        if path.name <= last:
            continue
        if read_bytes >= budget_bytes:
            break
        size_bytes = _drop_false(rt, path)
        if size_bytes is None:
            dropped.append(path.name)
        read_bytes += size_bytes or 0
        last = path.name
    else:
        last = ""
    turn = _turn_file(rt)
    turn.parent.mkdir(parents=True, exist_ok=True)  # a new instance has no copies yet
    turn.write_text(f"{last} {began_s}")
    return dropped


def _drop_false(rt: Runtime, path: Path) -> int | None:
    """Size of the copy; None where it was not its file and is gone."""
    try:
        if _is_true(rt, path):
            return path.stat().st_size
    except FileNotFoundError:
        return 0  # made room for another meanwhile
    except OSError as error:
        log.error("the copy %s cannot be read: %s", path.name, error)
    log.error("the cached copy of file %s differs from its chunks and was dropped", path.name)
    path.unlink(missing_ok=True)
    return None


def _is_true(rt: Runtime, path: Path) -> bool:
    with rt.database.reading() as db:
        file = db.get(XetFile, path.name)
    if file is None:
        return False
    tables = TableCache(rt.database)
    with path.open("rb") as source:
        for term in unpack_terms(file.terms):
            try:
                table = tables(term.xorb_hash)
            except LlmosError:
                return True  # the chunks are damaged: this may be the last that is whole
            for index in range(term.chunk_start, term.chunk_end):
                raw = source.read(table.raw_bytes(index, index + 1))
                if hash_chunk(raw) != table.hash_at(index):
                    return False
        return not source.read(1)


def _turn_file(rt: Runtime) -> Path:
    return hot_root(rt).with_name("xet-turn")


def _read_turn(rt: Runtime) -> tuple[str, float]:
    """(name of the copy checked last, or nothing between two rounds; when the round began)"""
    try:
        last, began_s = _turn_file(rt).read_text().split(" ")
        return last, float(began_s)
    except (OSError, ValueError):
        return "", 0.0
