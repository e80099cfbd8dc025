"""What a repository, or all of a namespace, takes in storage, and what sharing chunks saves.

Counted from rows alone: claims, the terms of their files, and the chunk lists of xorbs. Each distinct
run of chunks counts once, as often as files and versions repeat it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from llmos.features.repos.models import Repo, RepoLfsClaim
from llmos.features.storage.xet.models import XetFile, XetXorb
from llmos.features.storage.xet.tables import unpack_terms
from llmos.infra.xet.chunks import RECORD_BYTES, unpack_chunks
from llmos.infra.xet.hashes import XetHash, to_hex

# Beyond this many large files the chunks are not counted while somebody waits for a page.
MAX_COUNTED = 20_000
_BATCH = 10_000

Spans = dict[XetHash, list[tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class StorageSums:
    """`logical_bytes`: every version of every large file at its full size. `plain_bytes` of these are
    single objects without chunks. `unique_bytes`: each distinct chunk once, before compression, and plain
    objects. `stored_bytes`: the same as it lies on disk."""

    file_count: int
    logical_bytes: int
    plain_bytes: int
    unique_bytes: int
    stored_bytes: int

    @property
    def shared_bytes(self) -> int:
        """What chunks that occur more than once save."""
        return max(self.logical_bytes - self.unique_bytes, 0)

    @property
    def compressed_bytes(self) -> int:
        """What compression saves of the rest."""
        return max(self.unique_bytes - self.stored_bytes, 0)

    @property
    def saved_bytes(self) -> int:
        return max(self.logical_bytes - self.stored_bytes, 0)


def repo_sums(db: Session, repo: Repo, *, without: Iterable[str] = ()) -> StorageSums | None:
    """Sums over a repository's large files, leaving some out by SHA-256; None for too many to count."""
    return _sums(db, RepoLfsClaim.repo_id == repo.id, set(without))


def namespace_sums(db: Session, namespace_id: int) -> StorageSums | None:
    """Sums over all repositories of a namespace; an object that two of them use is shared, too."""
    ids = select(Repo.id).where(Repo.namespace_id == namespace_id)
    return _sums(db, RepoLfsClaim.repo_id.in_(ids), set())


def _sums(db: Session, claims: ColumnElement[bool], without: set[str]) -> StorageSums | None:
    statement = select(RepoLfsClaim.oid, RepoLfsClaim.size_bytes, RepoLfsClaim.xet_hash).where(claims)
    found = db.execute(statement.limit(MAX_COUNTED + 1 + len(without)))
    rows = [(oid, size, name) for oid, size, name in found if oid not in without]
    if len(rows) > MAX_COUNTED:
        return None
    terms = _terms(db, {name for _, _, name in rows if name})
    # A file whose record is gone counts as a plain object: its claim is all there is to go by.
    plain = {oid: size for oid, size, name in rows if name not in terms}
    spans: Spans = {}
    for packed in terms.values():
        for term in unpack_terms(packed):
            spans.setdefault(term.xorb_hash, []).append((term.chunk_start, term.chunk_end))
    raw_bytes, packed_bytes = _measure(db, spans)
    plain_bytes = sum(plain.values())
    logical_bytes = sum(size for _, size, _ in rows)
    logical_plain = sum(size for oid, size, _ in rows if oid in plain)
    return StorageSums(
        len(rows), logical_bytes, logical_plain, plain_bytes + raw_bytes, plain_bytes + packed_bytes
    )


def _terms(db: Session, names: set[str]) -> dict[str | None, bytes]:
    found: dict[str | None, bytes] = {}
    wanted = sorted(names)
    for start in range(0, len(wanted), _BATCH):
        statement = select(XetFile.file_hash, XetFile.terms)
        part = wanted[start : start + _BATCH]
        found.update(
            (name, terms) for name, terms in db.execute(statement.where(XetFile.file_hash.in_(part)))
        )
    return found


def _measure(db: Session, spans: Spans) -> tuple[int, int]:
    """(raw, packed) bytes of runs of chunks, each chunk once."""
    merged = {to_hex(name): _union(runs) for name, runs in spans.items()}
    raw_bytes, packed_bytes, partly = 0, 0, []
    for part in _parts(merged):
        statement = select(
            XetXorb.xorb_hash, XetXorb.raw_bytes, XetXorb.packed_bytes, func.length(XetXorb.chunks)
        ).where(XetXorb.xorb_hash.in_(part))
        for name, raw, packed, length in db.execute(statement):
            if merged[name] == [(0, length // RECORD_BYTES)]:
                raw_bytes += raw
                packed_bytes += packed
            else:
                partly.append(name)
    # Only xorbs used in part need their chunk lists, which are large.
    for part in _parts(partly):
        rows = db.execute(select(XetXorb.xorb_hash, XetXorb.chunks).where(XetXorb.xorb_hash.in_(part)))
        for name, blob in rows:
            table = unpack_chunks(blob)
            for start, end in merged[name]:
                raw_bytes += int(table.raw_ends[end - 1] - (table.raw_ends[start - 1] if start else 0))
                packed_bytes += int(
                    table.packed_ends[end - 1] - (table.packed_ends[start - 1] if start else 0)
                )
    return raw_bytes, packed_bytes


def _union(runs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for start, end in sorted(runs):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out


def _parts(names: Iterable[str]) -> Iterable[list[str]]:
    wanted = sorted(names)
    return (wanted[start : start + _BATCH] for start in range(0, len(wanted), _BATCH))
