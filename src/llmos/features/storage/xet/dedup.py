"""Tell a namespace which chunks it has stored already, so that its clients need not send them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.features.storage.xet.models import XetDedupChunk, XetFile, XetXorb, XetXorbScope
from llmos.features.storage.xet.tables import TableCache, unpack_terms, xorbs_of
from llmos.features.storage.xet.xorbs import touch_xorbs
from llmos.infra.runtime import Runtime
from llmos.infra.xet.arrays import np
from llmos.infra.xet.chunks import ChunkTable, unpack_chunks
from llmos.infra.xet.hashes import XetHash, from_hex, to_hex
from llmos.infra.xet.shard import ShardFile, ShardTerm
from llmos.infra.xet.shard_writer import dedup_shard

# Clients drop what they learned here when it expires; garbage collection waits longer.
ADVERTISED_S = 21 * 86_400
MAX_XORBS_PER_REPLY = 64
_ELIGIBLE_MODULUS = 1024


def dedup_rows(files: Iterable[ShardFile], tables: TableCache, scope_id: int) -> list[dict[str, Any]]:
    """Rows for the chunks of these files that clients may ask about: the first, and one in 1024."""
    found: dict[str, str] = {}
    for file in files:
        name = to_hex(file.file_hash)
        for number, term in enumerate(file.terms):
            table = tables(term.xorb_hash)
            hashes = np.frombuffer(table.hashes(term.chunk_start, term.chunk_end), "<u8").reshape(-1, 4)
            wanted = set(np.flatnonzero(hashes[:, 3] % _ELIGIBLE_MODULUS == 0).tolist())
            if number == 0:
                wanted.add(0)
            for index in wanted:
                found.setdefault(to_hex(table.hash_at(term.chunk_start + index)), name)
    return [{"chunk_hash": chunk, "scope_id": scope_id, "file_hash": file} for chunk, file in found.items()]


def knows_chunk(db: Session, chunk_hash: str, scope_id: int) -> bool:
    """Whether a dedup question would be answered; most are not, and this needs no write lock."""
    return db.get(XetDedupChunk, (chunk_hash, scope_id)) is not None


def answer_dedup(db: Session, rt: Runtime, chunk_hash: str, scope_id: int) -> bytes | None:
    """The reply to a dedup question, or None if the namespace does not have this chunk.

    It lists what `known_around` tells, with chunk hashes hidden by a key of the namespace: what is
    not known already cannot be learned. Needs a writing session.
    """
    listed = known_around(db, chunk_hash, scope_id)
    if not listed:
        return None
    now_s = int(time.time())
    return dedup_shard(listed, dedup_key(rt, scope_id), now_s, now_s + ADVERTISED_S)


def known_around(db: Session, chunk_hash: str, scope_id: int) -> list[tuple[XetHash, ChunkTable]]:
    """The xorbs of the file that holds the chunk, from the chunk on, as far as the namespace knows
    all of each. They are kept for as long as clients may remember them. Needs a writing session."""
    row = db.get(XetDedupChunk, (chunk_hash, scope_id))
    file = db.get(XetFile, row.file_hash) if row else None
    if file is None:
        return []
    return _told(db, _xorbs_from(db, unpack_terms(file.terms), chunk_hash), scope_id)


def known_in(db: Session, xet_hash: str, scope_id: int) -> list[tuple[XetHash, ChunkTable]]:
    """The same of the first xorbs of a file, for who may read all of it."""
    file = db.get(XetFile, xet_hash)
    names = [] if file is None else xorbs_of(unpack_terms(file.terms))[:MAX_XORBS_PER_REPLY]
    return _told(db, names, scope_id)


def _told(db: Session, names: Sequence[str], scope_id: int) -> list[tuple[XetHash, ChunkTable]]:
    is_told = XetXorbScope.xorb_hash.in_(names) & (XetXorbScope.scope_id == scope_id)
    known = db.scalars(select(XetXorbScope.xorb_hash).where(is_told)).all()
    # Before the look: what garbage collection has not removed by now it leaves alone.
    touch_xorbs(db, known)
    is_usable = XetXorb.xorb_hash.in_(known) & XetXorb.quarantined_at.is_(None)
    rows = db.scalars(select(XetXorb).where(is_usable))
    return [(from_hex(xorb.xorb_hash), unpack_chunks(xorb.chunks)) for xorb in rows]


def _xorbs_from(db: Session, terms: list[ShardTerm], chunk_hash: str) -> list[str]:
    """Names of up to `MAX_XORBS_PER_REPLY` xorbs, starting with the one that holds the chunk."""
    names = [to_hex(name) for name in dict.fromkeys(term.xorb_hash for term in terms)]
    if len(names) <= MAX_XORBS_PER_REPLY:
        return names
    wanted = from_hex(chunk_hash)
    start = 0
    for position, name in enumerate(names):
        chunks = db.scalar(select(XetXorb.chunks).where(XetXorb.xorb_hash == name))
        if chunks is not None and wanted in chunks:
            start = position
            break
    return names[start : start + MAX_XORBS_PER_REPLY]


def dedup_key(rt: Runtime, scope_id: int) -> bytes:
    """The 32-byte key that hides chunk hashes in replies to one namespace."""
    return hashlib.sha256(rt.signer.sign("xet dedup", {"scope": scope_id}).encode()).digest()
