"""Rows of the Xet store as the values the format room works with."""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from blake3 import blake3
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import Forbidden, NotFound
from llmos.features.storage.xet.models import XetFile, XetXorb
from llmos.infra.db.engine import Database
from llmos.infra.xet.chunks import ChunkTable, unpack_chunks
from llmos.infra.xet.hashes import XetHash, to_hex
from llmos.infra.xet.shard import ShardTerm

_TERM = struct.Struct("<32sIII")
_MAX_TABLES = 128
_BATCH = 500
_LAYOUT_DIGITS = 12


class XorbNotFound(NotFound):
    """No such xorb in the store; `data["xorb"]` names it."""

    code = "XorbNotFound"


class XetQuarantined(Forbidden):
    """A stored xorb no longer hashes to its name: its bytes are given to nobody."""

    code = "Quarantined"

    def __init__(self, xorb_hash: str) -> None:
        super().__init__(
            f"Stored bytes of this file (xorb {xorb_hash}) were found damaged and put in quarantine; "
            "upload the file again to heal it."
        )


def layout_of(chunks: bytes) -> str:
    """Short name of how a xorb's chunks are packed: sizes and schemes, from its stored chunk list.

    The same chunks can be compressed in several ways. An object is named by its layout, too, so
    that a write can only ever replace an object by one that reads the same at every offset.
    """
    return blake3(chunks).hexdigest()[:_LAYOUT_DIGITS]


def xorb_key(xorb_hash: str, layout: str) -> str:
    """Key of a xorb in the object store."""
    return f"xorbs/{xorb_hash[:2]}/{xorb_hash}.{layout}"


def pack_terms(terms: Iterable[ShardTerm]) -> bytes:
    """Stored form of a file's terms, 44 bytes each."""
    return b"".join([_TERM.pack(t.xorb_hash, t.raw_bytes, t.chunk_start, t.chunk_end) for t in terms])


def unpack_terms(blob: bytes) -> list[ShardTerm]:
    return [ShardTerm(*values) for values in _TERM.iter_unpack(blob)]


def xorbs_of(terms: Sequence[ShardTerm]) -> list[str]:
    """Names of the xorbs of these terms, each once, in order of first use."""
    return [to_hex(name) for name in dict.fromkeys(term.xorb_hash for term in terms)]


def get_file(db: Session, file_hash: str) -> XetFile | None:
    return db.get(XetFile, file_hash)


def check_undamaged(db: Session, file_hash: str) -> None:
    """Raise XetQuarantined if stored bytes of this file are known to be damaged."""
    found = get_file(db, file_hash)
    names = xorbs_of(unpack_terms(found.terms)) if found is not None else []
    for start in range(0, len(names), _BATCH):
        statement = select(XetXorb.xorb_hash).where(
            XetXorb.xorb_hash.in_(names[start : start + _BATCH]), XetXorb.quarantined_at.is_not(None)
        )
        damaged = db.scalar(statement.limit(1))
        if damaged is not None:
            raise XetQuarantined(damaged)


def touch_files(db: Session, file_hashes: Iterable[str]) -> None:
    """Let the grace before garbage collection start anew, for files that lose a user now."""
    wanted = sorted(set(file_hashes))
    for start in range(0, len(wanted), _BATCH):
        part = wanted[start : start + _BATCH]
        db.execute(update(XetFile).where(XetFile.file_hash.in_(part)).values(touched_at=clock.now()))


class TableCache:
    """Chunk lists by xorb name, read from the database as needed; keeps the last few.

    Call it as the `table_of` of the format room, from one thread. Raises XorbNotFound, and
    XetQuarantined for a xorb whose bytes are known to be damaged.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tables: OrderedDict[XetHash, ChunkTable] = OrderedDict()

    def __call__(self, name: XetHash) -> ChunkTable:
        table = self._tables.get(name)
        if table is not None:
            self._tables.move_to_end(name)
            return table
        table = self._load(to_hex(name))
        self._tables[name] = table
        if len(self._tables) > _MAX_TABLES:
            self._tables.popitem(last=False)
        return table

    def _load(self, xorb_hash: str) -> ChunkTable:
        statement = select(XetXorb.chunks, XetXorb.quarantined_at).where(XetXorb.xorb_hash == xorb_hash)
        with self._database.reading() as db:
            row = db.execute(statement).one_or_none()
        if row is None:
            raise XorbNotFound(f"There is no xorb {xorb_hash}.", data={"xorb": xorb_hash})
        if row.quarantined_at is not None:
            raise XetQuarantined(xorb_hash)
        return unpack_chunks(row.chunks)
