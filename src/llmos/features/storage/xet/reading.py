"""Give a file's bytes back: any range, decoded chunk by chunk, each checked against its hash."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from llmos.core.errors import NotFound, Unavailable
from llmos.features.storage.xet.hot import keep_hot
from llmos.features.storage.xet.models import XetFile
from llmos.features.storage.xet.quarantine import check_stored
from llmos.features.storage.xet.tables import TableCache, XetQuarantined, layout_of, unpack_terms, xorb_key
from llmos.infra.runtime import Runtime
from llmos.infra.xet.chunks import ChunkTable
from llmos.infra.xet.codec import iter_raw_chunks
from llmos.infra.xet.errors import XetFormatError
from llmos.infra.xet.hashes import Buffer, hash_chunk, to_hex
from llmos.infra.xet.ranges import PlannedTerm, plan_range
from llmos.infra.xet.shard import ShardTerm

log = logging.getLogger(__name__)

PIECE_BYTES = 1024 * 1024
# Larger buffers would come fresh from the kernel each time, page by page.
_READ_BYTES = 1024 * 1024
_BATCH = 500


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A recorded file, ready to be read."""

    file_hash: str
    size_bytes: int
    terms: list[ShardTerm]


def access_stored_file(rt: Runtime, file_hash: str) -> StoredFile:
    """Raises NotFound if there is no such file. Says nothing about who may read it."""
    return access_stored_files(rt, [file_hash])[0]


def access_stored_files(rt: Runtime, file_hashes: Sequence[str]) -> list[StoredFile]:
    """The same for several, in their order."""
    rows: dict[str, XetFile] = {}
    with rt.database.reading() as db:
        for start in range(0, len(file_hashes), _BATCH):
            part = XetFile.file_hash.in_(file_hashes[start : start + _BATCH])
            rows.update((row.file_hash, row) for row in db.scalars(select(XetFile).where(part)))
    missing = next((name for name in file_hashes if name not in rows), None)
    if missing is not None:
        raise NotFound(f"There is no Xet file {missing}.")
    found = [rows[name] for name in file_hashes]
    return [StoredFile(row.file_hash, row.size_bytes, unpack_terms(row.terms)) for row in found]


def stream_file(rt: Runtime, file_hash: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    """The bytes start <= i < end of a file in pieces of about 1 MiB; memory stays flat.

    Every chunk is checked against its hash: damaged bytes are never given out, the stream ends
    with XetQuarantined instead and the xorb goes into quarantine. Reading a whole file leaves a
    raw copy in the cache. Raises NotFound, RangeNotSatisfiable.
    """
    file = access_stored_file(rt, file_hash)
    stop = file.size_bytes if end is None else min(end, file.size_bytes)
    pieces = read_terms(rt, file.terms, start, stop)
    if start == 0 and stop == file.size_bytes:
        return keep_hot(rt, file_hash, file.size_bytes, pieces)
    return pieces


def read_terms(
    rt: Runtime, terms: list[ShardTerm], start: int, end: int, tables: TableCache | None = None
) -> Iterator[bytes]:
    """The bytes start <= i < end of the file made of these proved terms, about 1 MiB a piece."""
    if start == end == 0:
        return
    tables = tables or TableCache(rt.database)
    plan = plan_range(terms, tables, start, end)
    skip, left = plan.offset_into_first_range, plan.length_bytes
    waiting: list[Buffer] = []
    waiting_bytes = 0
    for term in plan.terms:
        for raw in _read_term(rt, term, tables(term.xorb_hash)):
            view = memoryview(raw)[skip : skip + left]
            skip = 0
            left -= len(view)
            waiting.append(view)
            waiting_bytes += len(view)
            if waiting_bytes >= PIECE_BYTES:
                yield b"".join(waiting)
                waiting, waiting_bytes = [], 0
    if waiting_bytes:
        yield b"".join(waiting)


def _read_term(rt: Runtime, term: PlannedTerm, table: ChunkTable) -> Iterator[Buffer]:
    """Raw chunks of a term, a few MiB read at a time."""
    name = to_hex(term.xorb_hash)
    key = xorb_key(name, layout_of(table.blob))
    index = term.packed.chunk_start
    try:
        while index < term.packed.chunk_end:
            until = _block_end(table, index, term.packed.chunk_end)
            packed = rt.objects.read(key, *table.packed_range(index, until))
            for raw in iter_raw_chunks(packed):
                if hash_chunk(raw) != table.hash_at(index):
                    raise XetFormatError(f"Chunk {index} does not hash to its name.")
                index += 1
                yield raw
            if index != until:
                raise XetFormatError("The object is shorter than its record says.")
    except (XetFormatError, FileNotFoundError) as error:
        log.error("xorb %s could not be read: %s", name, error)
        if check_stored(rt, name):
            # Replaced, healed or removed while it was read, or only the way from the store is bad.
            raise Unavailable("Stored bytes changed while they were read: try again.") from error
        raise XetQuarantined(name) from error


def _block_end(table: ChunkTable, start: int, limit: int) -> int:
    """The end of a run of chunks from `start` that is worth one read."""
    goal, _ = table.packed_range(start, start + 1)
    end = int(table.packed_ends.searchsorted(goal + _READ_BYTES))
    return min(max(end, start + 1), limit)
