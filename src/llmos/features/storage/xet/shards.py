"""Take in a shard: prove every file it names from the stored xorbs, then record the files."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from llmos.core import clock
from llmos.core.errors import BadRequest, Unavailable
from llmos.features.storage.xet.dedup import dedup_rows
from llmos.features.storage.xet.models import XetDedupChunk, XetFile
from llmos.features.storage.xet.tables import (
    TableCache,
    XetQuarantined,
    XorbNotFound,
    pack_terms,
    touch_files,
    unpack_terms,
    xorbs_of,
)
from llmos.features.storage.xet.xorbs import add_scope, keep_xorbs, mark_used, touch_xorbs
from llmos.infra.db.upsert import insert_missing
from llmos.infra.runtime import Runtime
from llmos.infra.xet.errors import XetFormatError
from llmos.infra.xet.hashes import XetHash, to_hex
from llmos.infra.xet.shard import Shard, ShardFile, parse_shard
from llmos.infra.xet.verify import check_file, check_xorb_claim

T = TypeVar("T")

MAX_FILES = 200_000
MAX_PROVED_CHUNKS = 32_000_000
# Chunks have at least 8 KiB but the last of a file; half of that leaves room for other cutters.
_MIN_MEAN_CHUNK_BYTES = 4096
_SPARE_CHUNKS = 16
_BATCH = 500

STALE_CACHE_ADVICE = (
    "If this happens again, the client remembers chunks that this server no longer has: delete the "
    "folder `xet` in HF_HOME (~/.cache/huggingface/xet) and upload again."
)

Progress = Callable[[int, int], None]
"""Told (bytes proved, bytes to prove) now and then."""


class UnprovedTerm(BadRequest):
    """A shard names chunks that are not stored, or that its sender did not prove to know.

    The two read the same, so that nobody learns what others have stored.
    """

    code = "UnprovedTerm"


@dataclass(frozen=True, slots=True)
class RegisteredFile:
    """A recorded file; `claimed_sha256` is what the client says, `sha256` what was found, if known."""

    file_hash: str
    size_bytes: int
    claimed_sha256: str | None
    sha256: str | None


def register_shard(
    rt: Runtime, body: bytes, scope_id: int, progress: Progress | None = None
) -> list[RegisteredFile]:
    """Prove and record all files of a shard, or none.

    Every xorb named must be stored, every term proved by its verification hash, every file hash
    made anew. A file known already keeps its terms. Slow (about 0.15 s for 1 GiB of files) and
    without a transaction meanwhile; call it in a thread. Raises XetFormatError, UnprovedTerm,
    XetQuarantined, and Unavailable where a xorb vanished meanwhile.
    """
    shard = parse_shard(body)
    check_cost(shard, rt.settings.lfs_file_limit_bytes)
    named = _names(shard)
    # From here on garbage collection leaves these alone until the rows below refer to them.
    with rt.database.writing() as db:
        touch_xorbs(db, named)
    tables = TableCache(rt.database)
    _prove(shard, tables, progress)
    files = list({file.file_hash: file for file in shard.files}.values())
    dedup = dedup_rows(files, tables, scope_id)
    whole = _wholly_known(shard, tables)
    with rt.database.writing() as db:
        if not keep_xorbs(db, named):
            raise Unavailable("A xorb of this shard was being cleaned up at this moment: upload again.")
        add_scope(db, whole, scope_id)
        mark_used(db, [to_hex(term.xorb_hash) for file in files for term in file.terms], scope_id)
        _record(db, files)
        insert_missing(db, XetDedupChunk, dedup)
        return _registered(db, files)


def check_cost(shard: Shard, file_limit_bytes: int) -> None:
    """Refuse, before any work, what no honest client sends and what would take minutes to prove."""
    if len(shard.files) > MAX_FILES:
        raise XetFormatError(f"A shard describes at most {MAX_FILES} files; send several.")
    chunk_count = 0
    for file in shard.files:
        size_bytes = file.size_bytes
        if size_bytes > file_limit_bytes:
            raise XetFormatError(f"A file has {size_bytes} bytes; at most {file_limit_bytes} are allowed.")
        if file.chunk_count > size_bytes // _MIN_MEAN_CHUNK_BYTES + _SPARE_CHUNKS:
            raise XetFormatError(f"File {to_hex(file.file_hash)} is cut into chunks that are too small.")
        chunk_count += file.chunk_count
    if chunk_count > MAX_PROVED_CHUNKS:
        raise XetFormatError(f"A shard's files have at most {MAX_PROVED_CHUNKS} chunks; send several shards.")


def _names(shard: Shard) -> list[str]:
    names: dict[XetHash, None] = dict.fromkeys(claim.xorb_hash for claim in shard.xorbs)
    for file in shard.files:
        names.update(dict.fromkeys(term.xorb_hash for term in file.terms))
    return [to_hex(name) for name in names]


def _prove(shard: Shard, tables: TableCache, progress: Progress | None) -> None:
    total = sum(file.size_bytes for file in shard.files)
    done = 0
    try:
        for claim in shard.xorbs:
            check_xorb_claim(claim, tables(claim.xorb_hash))
        for file in shard.files:
            done += check_file(file, tables)
            if progress:
                progress(done, total)
    except (XorbNotFound, XetQuarantined, XetFormatError) as error:
        raise UnprovedTerm(
            "The shard names chunks that were not uploaded here or that it does not prove to know. "
            + STALE_CACHE_ADVICE
        ) from error


def _wholly_known(shard: Shard, tables: TableCache) -> list[str]:
    """The xorbs of which the proved shard shows that its sender knows every chunk.

    To know one chunk opens no view of its neighbours, which may be somebody else's.
    """
    known = {claim.xorb_hash for claim in shard.xorbs}
    spans: dict[XetHash, list[tuple[int, int]]] = {}
    for file in shard.files:
        for term in file.terms:
            if term.xorb_hash not in known:
                spans.setdefault(term.xorb_hash, []).append((term.chunk_start, term.chunk_end))
    for name, parts in spans.items():
        reached = 0
        for start, end in sorted(parts):
            if start > reached:
                break
            reached = max(reached, end)
        if reached == len(tables(name)):
            known.add(name)
    return [to_hex(name) for name in known]


def _record(db: Session, files: list[ShardFile]) -> None:
    """Insert new files; a known one keeps its terms, which keeps its layout whole, unless they
    lead to damaged bytes: then the new terms heal it."""
    now = clock.now()
    terms = {to_hex(file.file_hash): pack_terms(file.terms) for file in files}
    # Before the look: on PostgreSQL garbage collection may be about to forget one of them.
    touch_files(db, terms)
    known = _select_files(db, XetFile.terms, terms)
    rows = [
        {"file_hash": name, "size_bytes": file.size_bytes, "terms": terms[name]}
        | {"created_at": now, "touched_at": now}
        for name, file in zip(terms, files, strict=True)
        if name not in known
    ]
    insert_missing(db, XetFile, rows)
    for name, held in known.items():
        if held != terms[name] and not keep_xorbs(db, xorbs_of(unpack_terms(held))):
            db.execute(update(XetFile).where(XetFile.file_hash == name).values(terms=terms[name]))


def _registered(db: Session, files: list[ShardFile]) -> list[RegisteredFile]:
    names = [to_hex(file.file_hash) for file in files]
    digests = _select_files(db, XetFile.sha256, names)
    return [
        RegisteredFile(name, file.size_bytes, file.sha256, digests.get(name))
        for name, file in zip(names, files, strict=True)
    ]


def _select_files(db: Session, column: InstrumentedAttribute[T], names: Collection[str]) -> dict[str, T]:
    """The column of those files that are recorded, by name."""
    wanted = sorted(names)
    found: dict[str, T] = {}
    for start in range(0, len(wanted), _BATCH):
        part = XetFile.file_hash.in_(wanted[start : start + _BATCH])
        found.update(
            (name, value) for name, value in db.execute(select(XetFile.file_hash, column).where(part))
        )
    return found
