"""Add, copy and delete many files of a bucket at once; each succeeds or fails by itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, LlmosError, RepoNotFound, Unprocessable
from llmos.core.paths import check_file_path
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.buckets.models import MAX_PATH_BYTES, Bucket, BucketChange, BucketFile, BucketUpload
from llmos.features.buckets.policy import access_bucket, check_write
from llmos.features.buckets.queries import get_files, held_hashes
from llmos.features.repos.claims import check_room
from llmos.features.repos.models import RepoLfsClaim
from llmos.features.repos.policy import access_repo, check_content
from llmos.features.storage.xet.models import XetFile, XetXorb
from llmos.features.storage.xet.tables import touch_files, unpack_terms, xorbs_of
from llmos.features.storage.xet.xorbs import touch_xorbs
from llmos.infra.i18n import lazy
from llmos.infra.settings import Settings

MAX_OPERATIONS = 1000
_BATCH = 500
_HASH = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class PutFile:
    """Put a stored Xet file under `path`: one brought to this bucket or, with `source` (type, name),
    one that the repository or bucket of this name holds."""

    path: str
    xet_hash: str
    mtime: datetime | None = None
    content_type: str | None = None
    source: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class DeleteFile:
    path: str


Operation = PutFile | DeleteFile


@dataclass
class BatchReport:
    """`failed` holds (path, why) of what was not done."""

    processed: int
    failed: list[tuple[str, str]] = field(default_factory=list)

    @property
    def succeeded(self) -> int:
        return self.processed - len(self.failed)


def apply_batch(
    db: Session, actor: Actor, settings: Settings, bucket: Bucket, operations: Sequence[Operation]
) -> BatchReport:
    """Carry out the operations in their order.

    Raises Forbidden without write access, BadRequest for none or more than `MAX_OPERATIONS`,
    QuotaExceeded (and nothing is done) where the outcome does not fit.
    """
    check_write(actor, bucket)
    if not 0 < len(operations) <= MAX_OPERATIONS:
        raise BadRequest(
            lazy(
                "A batch has 1 to %(limit)s lines; %(count)s were sent.",
                limit=MAX_OPERATIONS,
                count=len(operations),
            )
        )
    # Two batches of one bucket take turns, or its counters would drift.
    locked = db.get(Bucket, bucket.id, with_for_update={"of": Bucket}, populate_existing=True)
    if locked is None or locked.deleted_at is not None:
        raise RepoNotFound(lazy("Bucket Not Found: it was deleted meanwhile."))
    work = _Batch(db, actor, locked)
    work.prepare(operations)
    report = BatchReport(len(operations))
    for operation in operations:
        try:
            work.apply(operation)
        except LlmosError as error:
            report.failed.append((operation.path, error.message))
    if work.grown_bytes > 0:
        check_room(db, settings, locked.namespace, work.grown_bytes)
    work.finish()
    return report


class _Batch:
    """The state of one batch: what is there, and what may be put there."""

    def __init__(self, db: Session, actor: Actor, bucket: Bucket) -> None:
        self._db = db
        self._actor = actor
        self._bucket = bucket
        self._files: dict[str, BucketFile] = {}
        self._reachable: dict[tuple[str, str] | None, set[str]] = {}
        self._sizes: dict[str, int] = {}
        self._released: set[str] = set()
        self._changes: list[BucketChange] = []
        self._file_delta = 0
        self.grown_bytes = 0

    def prepare(self, operations: Sequence[Operation]) -> None:
        """Look everything up, and keep garbage collection from what is about to be used."""
        self._files = get_files(self._db, self._bucket.id, [item.path for item in operations])
        wanted: dict[tuple[str, str] | None, set[str]] = {}
        for item in operations:
            if isinstance(item, PutFile) and _HASH.match(item.xet_hash):
                wanted.setdefault(item.source, set()).add(item.xet_hash)
        for source, hashes in wanted.items():
            self._reachable[source] = self._find_reachable(source, hashes)
        usable = set().union(*self._reachable.values())
        touch_files(self._db, usable)
        needed: dict[str, list[str]] = {}
        for part in _parts(usable):
            columns = select(XetFile.file_hash, XetFile.size_bytes, XetFile.terms)
            for xet_hash, size_bytes, terms in self._db.execute(columns.where(XetFile.file_hash.in_(part))):
                self._sizes[xet_hash] = size_bytes
                needed[xet_hash] = xorbs_of(unpack_terms(terms))
        xorbs = {name for names in needed.values() for name in names}
        touch_xorbs(self._db, xorbs)
        missing = xorbs - _stored_xorbs(self._db, xorbs)
        for xet_hash, names in needed.items():
            if missing.intersection(names):
                del self._sizes[xet_hash]

    def _find_reachable(self, source: tuple[str, str] | None, hashes: set[str]) -> set[str]:
        if source is None:
            return _brought(self._db, self._bucket.id, hashes) | held_hashes(
                self._db, self._bucket.id, hashes
            )
        kind, name = source
        namespace, _, base = name.partition("/")
        try:
            if kind == "bucket":
                return held_hashes(self._db, access_bucket(self._db, self._actor, namespace, base).id, hashes)
            repo = access_repo(self._db, self._actor, RepoType(kind), namespace, base)
            check_content(self._db, self._actor, repo)
        except (LlmosError, ValueError):
            # A source that may not be read has nothing to copy, like one that does not exist.
            return set()
        return _claimed(self._db, repo.id, hashes)

    def apply(self, operation: Operation) -> None:
        """Raises the error that goes into the report."""
        if isinstance(operation, DeleteFile):
            self._delete(operation.path)
        else:
            self._put(operation)

    def _delete(self, path: str) -> None:
        old = self._files.pop(path, None)
        if old is None:
            raise Unprocessable(lazy("There is no file %(path)r in this bucket.", path=path))
        self._released.add(old.xet_hash)
        self._changes.append(BucketChange(bucket_id=self._bucket.id, op="delete", path=path))
        self.grown_bytes -= old.size_bytes
        self._file_delta -= 1
        if old in self._db.new:
            self._db.expunge(old)
        else:
            # At once: the path may be taken again further on in the batch.
            key = (BucketFile.bucket_id == old.bucket_id) & (BucketFile.path == old.path)
            self._db.expunge(old)
            self._db.execute(delete(BucketFile).where(key))

    def _put(self, item: PutFile) -> None:
        check_file_path(item.path)
        if len(item.path.encode()) > MAX_PATH_BYTES:
            raise Unprocessable(lazy("path is too long: at most %(limit)s bytes.", limit=MAX_PATH_BYTES))
        if not _HASH.match(item.xet_hash):
            raise Unprocessable(lazy("xetHash must be 64 hexadecimal digits."))
        size_bytes = self._sizes.get(item.xet_hash)
        if size_bytes is None or item.xet_hash not in self._reachable[item.source]:
            raise Unprocessable(_missing(item))
        file = self._files.get(item.path)
        if file is None:
            file = BucketFile(bucket_id=self._bucket.id, path=item.path)
            self._files[item.path] = file
            self._file_delta += 1
            op = "add"
        else:
            self._released.add(file.xet_hash)
            op = "update"
            self.grown_bytes -= file.size_bytes
        file.xet_hash, file.size_bytes = item.xet_hash, size_bytes
        file.mtime, file.content_type, file.uploaded_at = item.mtime, item.content_type, clock.now()
        self.grown_bytes += size_bytes
        self._db.add(file)
        self._changes.append(
            BucketChange(
                bucket_id=self._bucket.id,
                op=op,
                path=item.path,
                size_bytes=size_bytes,
                xet_hash=item.xet_hash,
                mtime=item.mtime,
            )
        )

    def finish(self) -> None:
        self._bucket.file_count += self._file_delta
        self._bucket.size_bytes += self.grown_bytes
        self._bucket.updated_at = clock.now()
        touch_files(self._db, self._released)
        # One by one, so that their ids tell the order.
        for change in self._changes:
            self._db.add(change)
        self._db.flush()


def _missing(item: PutFile) -> str:
    if item.source is not None:
        kind, name = item.source
        return f"There is no Xet file {item.xet_hash} in {kind} {name!r} that you can read."
    return f"The file {item.xet_hash} was not uploaded to this bucket: upload it first."


def _brought(db: Session, bucket_id: int, hashes: set[str]) -> set[str]:
    found: set[str] = set()
    for part in _parts(hashes):
        statement = select(BucketUpload.xet_hash).where(
            BucketUpload.bucket_id == bucket_id, BucketUpload.xet_hash.in_(part)
        )
        found.update(db.scalars(statement))
    return found


def _claimed(db: Session, repo_id: int, hashes: set[str]) -> set[str]:
    found: set[str] = set()
    for part in _parts(hashes):
        statement = select(RepoLfsClaim.xet_hash).where(
            RepoLfsClaim.repo_id == repo_id, RepoLfsClaim.xet_hash.in_(part)
        )
        found.update(name for name in db.scalars(statement) if name)
    return found


def _stored_xorbs(db: Session, xorb_hashes: set[str]) -> set[str]:
    found: set[str] = set()
    for part in _parts(xorb_hashes):
        found.update(db.scalars(select(XetXorb.xorb_hash).where(XetXorb.xorb_hash.in_(part))))
    return found


def _parts(hashes: Iterable[str]) -> Iterable[list[str]]:
    wanted = sorted(hashes)
    return (wanted[start : start + _BATCH] for start in range(0, len(wanted), _BATCH))
