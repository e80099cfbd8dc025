"""Put files that came from a browser into a bucket, by the same doors as those of a Hub client."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llmos.core import clock
from llmos.core.errors import BadRequest
from llmos.core.paths import check_file_path
from llmos.features.accounts.actor import Actor
from llmos.features.buckets.batch import BatchReport, PutFile, apply_batch
from llmos.features.buckets.policy import access_bucket
from llmos.features.buckets.queries import get_files
from llmos.features.buckets.service import bring_files
from llmos.features.storage.xet.dedup import known_around, known_in
from llmos.features.storage.xet.shards import RegisteredFile, register_shard
from llmos.features.storage.xet.xorbs import XorbUpload
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.xet.chunks import ChunkTable
from llmos.infra.xet.cutting import iter_chunks
from llmos.infra.xet.hashes import XetHash, hash_chunk, hash_range, is_dedup_eligible, to_hex
from llmos.infra.xet.merkle import Node, file_hash
from llmos.infra.xet.shard import ShardFile, ShardTerm, ShardXorb
from llmos.infra.xet.shard_writer import write_shard
from llmos.infra.xet.xorb import build_xorb

MAX_BYTES = 512 * 1024 * 1024
# About 16 MiB, which are in memory at once.
_CHUNKS_PER_XORB = 256


def put_web_files(
    rt: Runtime, actor: Actor, bucket_name: tuple[str, str], files: Sequence[tuple[str, Path]]
) -> BatchReport:
    """Store local files under their paths in the bucket. Call it in a thread.

    Raises BadRequest for no file, a bad path or one given twice, Forbidden without write access,
    QuotaExceeded.
    """
    if not files:
        raise BadRequest(lazy("Choose at least one file."))
    paths = [check_file_path(path, field="files") for path, _ in files]
    if len(set(paths)) < len(paths):
        raise BadRequest(lazy("files names the same path twice: give each file a name of its own."))
    with rt.database.reading() as db:
        bucket = access_bucket(db, actor, *bucket_name)
        bucket_id, scope_id = bucket.id, bucket.namespace_id
        replaced = [file.xet_hash for file in get_files(db, bucket_id, paths).values()]
    sender = _Sender(rt, scope_id, replaced)
    stored = [sender.store(source) for _, source in files]
    bring_files(rt, bucket_id, list({item.file_hash: item for item in stored}.values()))
    now = clock.now()
    work = [PutFile(path, item.file_hash, now) for path, item in zip(paths, stored, strict=True)]
    with rt.database.writing() as db:
        return apply_batch(db, actor, rt.settings, access_bucket(db, actor, *bucket_name), work)


@dataclass
class _Run:
    """Chunks that follow each other in one xorb; `xorb_hash` is None until that is stored."""

    xorb_hash: XetHash | None
    start: int
    end: int
    raw_bytes: int = 0
    hashes: bytes = b""

    def term(self) -> ShardTerm:
        assert self.xorb_hash is not None
        return ShardTerm(self.xorb_hash, self.raw_bytes, self.start, self.end)


class _Sender:
    """Stores files as a client would: cut at the same places, and only chunks that are not there."""

    def __init__(self, rt: Runtime, scope_id: int, replaced: Sequence[str]) -> None:
        """`replaced`: files of the namespace that are probably much like those to come."""
        self._rt = rt
        self._scope_id = scope_id
        self._known: dict[bytes, tuple[XetHash, int]] = {}
        self._new: dict[bytes, bytes] = {}
        self._fresh: dict[bytes, tuple[None, int]] = {}  # where they will lie in the next xorb
        self._xorbs: list[ShardXorb] = []
        with rt.database.writing() as db:
            for xet_hash in replaced:
                self._remember(known_in(db, xet_hash, scope_id))

    def _remember(self, found: Sequence[tuple[XetHash, ChunkTable]]) -> None:
        for xorb, table in found:
            for index in range(len(table)):
                self._known.setdefault(table.hash_at(index), (xorb, index))

    def store(self, source: Path) -> RegisteredFile:
        runs: list[_Run] = []
        nodes: list[Node] = []
        self._xorbs = []
        with source.open("rb") as data:
            for chunk in iter_chunks(data):
                name = hash_chunk(chunk)
                place = self._find(name, is_first=not nodes)
                if place is None:
                    place = self._fresh[name] = (None, len(self._new))
                    self._new[name] = chunk
                _add(runs, place, name, len(chunk))
                nodes.append((name, len(chunk)))
                if len(self._new) == _CHUNKS_PER_XORB:
                    self._flush(runs)
        self._flush(runs)
        proofs = [hash_range(run.hashes) for run in runs]
        file = ShardFile(file_hash(nodes), [run.term() for run in runs], proofs, None)
        return register_shard(self._rt, write_shard([file], self._xorbs), self._scope_id)[0]

    def _find(self, name: bytes, *, is_first: bool) -> tuple[XetHash | None, int] | None:
        """Where the namespace has this chunk, as far as a client could learn it, too."""
        if name not in self._known and (is_first or is_dedup_eligible(name)):
            with self._rt.database.writing() as db:
                self._remember(known_around(db, to_hex(name), self._scope_id))
        return self._known.get(name) or self._fresh.get(name)

    def _flush(self, runs: list[_Run]) -> None:
        if not self._new:
            return
        packed, parsed = build_xorb(self._new.values())
        with XorbUpload(self._rt, to_hex(parsed.xorb_hash), self._scope_id) as upload:
            upload.feed(packed)
            upload.finish()
        for index, record in enumerate(parsed.records):
            self._known.setdefault(record.hash, (parsed.xorb_hash, index))
        for run in runs:
            run.xorb_hash = run.xorb_hash or parsed.xorb_hash
        self._xorbs.append(ShardXorb.from_table(parsed.xorb_hash, parsed.table()))
        self._new, self._fresh = {}, {}


def _add(runs: list[_Run], place: tuple[XetHash | None, int], name: bytes, raw_bytes: int) -> None:
    xorb_hash, index = place
    last = runs[-1] if runs else None
    if last is None or (last.xorb_hash, last.end) != (xorb_hash, index):
        last = _Run(xorb_hash, index, index)
        runs.append(last)
    last.end += 1
    last.raw_bytes += raw_bytes
    last.hashes += name
