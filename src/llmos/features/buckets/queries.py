"""Lists of buckets and of their files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llmos.core.errors import EntryNotFound, NotFound
from llmos.core.names import name_key
from llmos.core.pagination import Page, check_limit, decode_cursor, encode_cursor
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.buckets.models import Bucket, BucketFile
from llmos.features.repos.cursors import cursor_text
from llmos.features.repos.policy import can_read, role_in
from llmos.features.storage.xet.hot import get_hot_path
from llmos.features.storage.xet.reading import stream_file
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.files import Content

PAGE_SIZE = 1000
_LIST_SIZE = 100
_BATCH = 500
# Comes after every path, so `prefix + _LAST` ends the run of paths below a prefix.
_LAST = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class BucketFolder:
    """Files share this beginning of their path; a folder is nothing by itself."""

    path: str


def list_buckets(
    db: Session,
    actor: Actor,
    namespace_name: str,
    *,
    search: str = "",
    cursor: str | None = None,
    limit: int | None = None,
) -> Page[Bucket]:
    """Buckets of a namespace (`me`: one's own) the actor may see, by name; a page may be short.

    Raises NotFound for a namespace that nobody has, Unauthenticated for a visitor's `me`.
    """
    if namespace_name == "me":
        actor.require_user()
        namespace_name = actor.name
    namespace = db.scalar(select(Namespace).where(Namespace.name_key == name_key(namespace_name)))
    if namespace is None:
        raise NotFound(
            lazy("There is no user or organisation %(namespace_name)r.", namespace_name=namespace_name)
        )
    size = check_limit(limit, default=_LIST_SIZE, maximum=1000)
    statement = select(Bucket).where(Bucket.namespace_id == namespace.id, Bucket.deleted_at.is_(None))
    if role_in(actor, namespace) is None:
        statement = statement.where(Bucket.visibility != "private")
    if search:
        statement = statement.where(Bucket.name_key.contains(name_key(search), autoescape=True))
    after = decode_cursor(cursor, 1)
    if after:
        statement = statement.where(Bucket.name_key > cursor_text(after[0]))
    found = list(db.scalars(statement.order_by(Bucket.name_key).limit(size + 1)).unique())
    following = encode_cursor([found[size - 1].name_key]) if len(found) > size else None
    return Page([bucket for bucket in found[:size] if can_read(actor, bucket)], following)


def list_tree(
    db: Session,
    bucket_id: int,
    prefix: str = "",
    *,
    recursive: bool = False,
    cursor: str | None = None,
    limit: int | None = None,
) -> Page[BucketFile | BucketFolder]:
    """Files whose path begins with `prefix`, in order of path.

    Without `recursive`, files below further slashes appear as their folder. A slash that follows
    the prefix directly does not count: `logs` lists what is in `logs/`, and `logs.txt` as well.
    """
    size = check_limit(limit, default=PAGE_SIZE, maximum=PAGE_SIZE)
    marks = decode_cursor(cursor, 1)
    after = cursor_text(marks[0]) if marks else ""
    if "\0" in prefix:
        return Page([])
    entries: list[BucketFile | BucketFolder] = []
    while len(entries) <= size:
        rows = _scan(db, bucket_id, prefix, after, min(size + 1, _BATCH))
        for row in rows:
            # Code points compare as UTF-8 bytes do, which is how the index is ordered.
            if row.path <= after:
                continue
            folder = None if recursive else _folder_of(row.path, prefix)
            entry = row if folder is None else BucketFolder(folder)
            entries.append(entry)
            after = _mark(entry)
        if not rows:
            break
    more = len(entries) > size
    return Page(entries[:size], encode_cursor([_mark(entries[size - 1])]) if more else None)


def _scan(db: Session, bucket_id: int, prefix: str, after: str, limit: int) -> Sequence[BucketFile]:
    statement = select(BucketFile).where(BucketFile.bucket_id == bucket_id, BucketFile.path > after)
    if prefix:
        statement = statement.where(BucketFile.path >= prefix, BucketFile.path < prefix + _LAST)
    return db.scalars(statement.order_by(BucketFile.path).limit(limit)).all()


def _folder_of(path: str, prefix: str) -> str | None:
    end = path.find("/", len(prefix) + path.startswith(prefix + "/"))
    return None if end < 0 else path[:end]


def _mark(entry: BucketFile | BucketFolder) -> str:
    return entry.path if isinstance(entry, BucketFile) else f"{entry.path}/{_LAST}"


def get_files(db: Session, bucket_id: int, paths: Iterable[str]) -> dict[str, BucketFile]:
    """Those of `paths` that exist."""
    wanted = sorted({path for path in paths if "\0" not in path})
    found: dict[str, BucketFile] = {}
    for start in range(0, len(wanted), _BATCH):
        part = wanted[start : start + _BATCH]
        statement = select(BucketFile).where(BucketFile.bucket_id == bucket_id, BucketFile.path.in_(part))
        found.update((row.path, row) for row in db.scalars(statement))
    return found


def access_file(db: Session, bucket: Bucket, path: str) -> BucketFile:
    """The file, or EntryNotFound."""
    found = get_files(db, bucket.id, [path]).get(path)
    if found is None:
        raise EntryNotFound(
            lazy(
                "Entry not found: there is no file %(path)r in bucket %(bucket_name)s.",
                path=path,
                bucket_name=bucket.bucket_name,
            )
        )
    return found


def file_content(rt: Runtime, file: BucketFile) -> Content:
    """The bytes ready for a `ContentResponse`; the etag is the Xet hash."""
    hot_path = get_hot_path(rt, file.xet_hash, file.size_bytes)
    return Content(file.size_bytes, file.xet_hash, hot_path, partial(stream_file, rt, file.xet_hash))


def held_hashes(db: Session, bucket_id: int, xet_hashes: Iterable[str]) -> set[str]:
    """Which of these Xet files the bucket has under some path."""
    wanted = sorted(set(xet_hashes))
    found: set[str] = set()
    for start in range(0, len(wanted), _BATCH):
        part = wanted[start : start + _BATCH]
        found.update(
            db.scalars(
                select(BucketFile.xet_hash).where(
                    BucketFile.bucket_id == bucket_id, BucketFile.xet_hash.in_(part)
                )
            )
        )
    return found


def check_reachable(db: Session, bucket_id: int, xet_hash: str) -> None:
    """NotFound unless the bucket, which is not deleted, has this Xet file under some path."""
    bucket = db.get(Bucket, bucket_id)
    if bucket is None or bucket.deleted_at is not None or not held_hashes(db, bucket_id, [xet_hash]):
        raise NotFound(lazy("There is no file %(xet_hash)s in this bucket.", xet_hash=xet_hash))


def used_bytes(db: Session, namespace_id: int) -> int:
    """Bytes of all files in the buckets of a namespace; a file under two paths counts twice."""
    is_here = (Bucket.namespace_id == namespace_id) & Bucket.deleted_at.is_(None)
    statement = select(func.sum(Bucket.size_bytes)).where(is_here)
    return int(db.scalar(statement) or 0)
