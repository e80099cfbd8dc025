"""Put files that came from a browser into a bucket, by the same doors as those of a Hub client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from llmos.core import clock
from llmos.core.errors import BadRequest
from llmos.core.paths import check_file_path
from llmos.features.accounts.actor import Actor
from llmos.features.buckets.batch import BatchReport, PutFile, apply_batch
from llmos.features.buckets.policy import access_bucket
from llmos.features.buckets.service import bring_files
from llmos.features.storage.xet.shards import RegisteredFile, register_shard
from llmos.features.storage.xet.xorbs import XorbUpload
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.xet.hashes import hash_range, to_hex
from llmos.infra.xet.merkle import Node, file_hash
from llmos.infra.xet.shard import ShardFile, ShardTerm, ShardXorb
from llmos.infra.xet.shard_writer import write_shard
from llmos.infra.xet.xorb import build_xorb

MAX_BYTES = 512 * 1024 * 1024
# Even cuts share less with other files than those of clients, and cost no time to find.
_CHUNK_BYTES = 64 * 1024
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
    stored = [_store(rt, source, scope_id) for _, source in files]
    bring_files(rt, bucket_id, list({item.file_hash: item for item in stored}.values()))
    now = clock.now()
    work = [PutFile(path, item.file_hash, now) for path, item in zip(paths, stored, strict=True)]
    with rt.database.writing() as db:
        return apply_batch(db, actor, rt.settings, access_bucket(db, actor, *bucket_name), work)


def _store(rt: Runtime, source: Path, scope_id: int) -> RegisteredFile:
    terms: list[ShardTerm] = []
    proofs: list[bytes] = []
    xorbs: list[ShardXorb] = []
    nodes: list[Node] = []
    for chunks in _groups(source):
        packed, parsed = build_xorb(chunks)
        with XorbUpload(rt, to_hex(parsed.xorb_hash), scope_id) as upload:
            upload.feed(packed)
            upload.finish()
        table = parsed.table()
        terms.append(ShardTerm(parsed.xorb_hash, parsed.raw_bytes, 0, len(table)))
        proofs.append(hash_range(table.hashes(0, len(table))))
        xorbs.append(ShardXorb.from_table(parsed.xorb_hash, table))
        nodes.extend(table.nodes(0, len(table)))
    shard = write_shard([ShardFile(file_hash(nodes), terms, proofs, None)], xorbs)
    return register_shard(rt, shard, scope_id)[0]


def _groups(source: Path) -> Iterator[list[bytes]]:
    with source.open("rb") as data:
        while True:
            chunks = [piece for _ in range(_CHUNKS_PER_XORB) if (piece := data.read(_CHUNK_BYTES))]
            if not chunks:
                return
            yield chunks
