"""The object store: immutable objects under slash-separated keys.

`FolderStore` keeps them as files and can hand out a path for the fastest sending;
`RemoteStore` speaks S3 through obstore and can hand out presigned links.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from llmos.core.errors import Unavailable
from llmos.core.text import lazy
from llmos.infra.blobs.durable import fsync_dir, make_parents, publish_file, write_file
from llmos.infra.blobs.presign import sign_put
from llmos.infra.settings import Settings

log = logging.getLogger(__name__)

STREAM_CHUNK_BYTES = 1024 * 1024
# S3 takes at most 10,000 parts of one upload.
MAX_PARTS = 9_000
MIN_PART_BYTES = 8 * 1024 * 1024


class ObjectMeta(NamedTuple):
    key: str
    size_bytes: int
    modified_at: datetime


class ObjectStore(Protocol):
    """What every store promises: an object is durable when `put_*` returns, and never changes.

    Bytes that the medium cannot give back any more are missing: FileNotFoundError.
    """

    def put_file(self, key: str, source: Path) -> None:
        """Store the file's bytes under `key`; `source` may be moved away."""

    def put_bytes(self, key: str, data: bytes) -> None: ...

    def head(self, key: str) -> int | None:
        """Size in bytes, or None where there is no such object."""

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Bytes `start` to `end` (exclusive). Raises FileNotFoundError."""

    def stream(self, key: str, start: int, end: int) -> Iterator[bytes]:
        """The bytes in pieces of at most 1 MiB. Raises FileNotFoundError."""

    def copy(self, key: str, target: str) -> None:
        """Store the same bytes under another key, too. Raises FileNotFoundError."""

    def move(self, key: str, target: str) -> None:
        """Store the bytes under another key instead, unread where that is possible. Raises
        FileNotFoundError."""

    def delete(self, key: str) -> None:
        """Remove the object; quietly when it is not there."""

    def list(self, prefix: str) -> Iterator[ObjectMeta]: ...

    def local_path(self, key: str) -> Path | None:
        """The file that holds the object, where it is one on this machine."""

    def presign(self, method: str, key: str, *, ttl_s: int, size_bytes: int | None = None) -> str | None:
        """A link anybody may use until it expires, where the store can make one; to PUT, given
        `size_bytes`, exactly so many (not where the keys of the store come from the machine)."""


class FolderStore:
    """Objects as files below one folder, on the same file system as `tmp_root`."""

    def __init__(self, root: Path, tmp_root: Path) -> None:
        self.root = root
        self.tmp_root = tmp_root
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        tmp_root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _path(self, key: str) -> Path:
        if key.startswith("/") or ".." in key.split("/"):
            raise ValueError(f"not an object key: {key!r}")
        return self.root / key

    def put_file(self, key: str, source: Path) -> None:
        publish_file(source, self._path(key))

    def put_bytes(self, key: str, data: bytes) -> None:
        write_file(self._path(key), data, tmp_root=self.tmp_root)

    def head(self, key: str) -> int | None:
        try:
            return self._path(key).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        fd = os.open(self._path(key), os.O_RDONLY)
        try:
            stop = os.fstat(fd).st_size if end is None else end
            with _unreadable_is_missing(key):
                return os.pread(fd, max(stop - start, 0), start)
        finally:
            os.close(fd)

    def stream(self, key: str, start: int, end: int) -> Iterator[bytes]:
        fd = os.open(self._path(key), os.O_RDONLY)
        try:
            while start < end:
                with _unreadable_is_missing(key):
                    piece = os.pread(fd, min(STREAM_CHUNK_BYTES, end - start), start)
                if not piece:
                    raise FileNotFoundError(f"{key} is shorter than its record says")
                start += len(piece)
                yield piece
        finally:
            os.close(fd)

    def copy(self, key: str, target: str) -> None:
        aside = self.tmp_root / f"c-{os.getpid()}-{os.urandom(8).hex()}"
        try:
            shutil.copyfile(self._path(key), aside)
            publish_file(aside, self._path(target))
        finally:
            aside.unlink(missing_ok=True)

    def move(self, key: str, target: str) -> None:
        source, path = self._path(key), self._path(target)
        make_parents(path.parent)
        os.replace(source, path)
        fsync_dir(path.parent)
        fsync_dir(source.parent)

    def delete(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._path(key).unlink()

    def list(self, prefix: str) -> Iterator[ObjectMeta]:
        base = self._path(prefix)
        for folder, _dirs, files in os.walk(base):
            for name in sorted(files):
                path = Path(folder, name)
                with contextlib.suppress(FileNotFoundError):
                    stat = path.stat()
                    modified = datetime.fromtimestamp(stat.st_mtime, UTC)
                    yield ObjectMeta(str(path.relative_to(self.root)), stat.st_size, modified)

    def local_path(self, key: str) -> Path | None:
        return self._path(key)

    def presign(self, method: str, key: str, *, ttl_s: int, size_bytes: int | None = None) -> str | None:
        return None


@contextlib.contextmanager
def _unreadable_is_missing(key: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise FileNotFoundError(f"{key} cannot be read from its disk") from error


@contextlib.contextmanager
def _said_plainly(*also: type[Exception]) -> Iterator[None]:
    """What goes wrong between this machine and the store becomes Unavailable; its details are logged."""
    kinds: tuple[type[Exception], ...] = (BaseError, *also)
    try:
        yield
    except kinds as error:
        log.error("object store: %s", str(error).split("\n", 1)[0])
        raise _store_failed() from error


def _store_failed() -> Unavailable:
    return Unavailable(
        lazy("The object store cannot be reached or refused the request: try again in a moment.")
    )


class RemoteStore:
    """Objects in an S3-compatible bucket; a put is durable when the store has answered.

    Every call raises Unavailable when the store does not answer as it should.
    """

    def __init__(self, store: S3Store, *, presigns: bool, sign_put: Callable[..., str] | None = None) -> None:
        self._store = store
        self._presigns = presigns
        self._sign_put = sign_put

    def put_file(self, key: str, source: Path) -> None:
        part_bytes = max(MIN_PART_BYTES, -(-source.stat().st_size // MAX_PARTS))
        with _said_plainly(FileNotFoundError):  # there is no such bucket
            obstore.put(self._store, key, source, chunk_size=part_bytes, max_concurrency=4)
        source.unlink()

    def put_bytes(self, key: str, data: bytes) -> None:
        with _said_plainly(FileNotFoundError):  # there is no such bucket
            obstore.put(self._store, key, data)

    def head(self, key: str) -> int | None:
        try:
            with _said_plainly():
                return int(obstore.head(self._store, key)["size"])
        except FileNotFoundError:
            return None

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        if end is None:
            end = self.head(key)
            if end is None:
                raise FileNotFoundError(key)
        if end <= start:
            return b""
        with _said_plainly():
            data = bytes(obstore.get_range(self._store, key, start=start, end=end))
        if len(data) < end - start and len(data) < (self.head(key) or 0) - start:
            # The object is longer than what came: the line is at fault, not the object.
            log.error("object store: an answer about %s was cut off", key)
            raise _store_failed()
        return data

    def stream(self, key: str, start: int, end: int) -> Iterator[bytes]:
        if end <= start:
            return
        with _said_plainly():
            result = obstore.get(self._store, key, options={"range": (start, end)})
            for piece in result.stream(min_chunk_size=STREAM_CHUNK_BYTES):
                start += len(piece)
                yield bytes(piece)
        if start != end:
            raise FileNotFoundError(f"{key} is shorter than its record says")

    def copy(self, key: str, target: str) -> None:
        with _said_plainly():
            obstore.copy(self._store, key, target)

    def move(self, key: str, target: str) -> None:
        with _said_plainly():
            obstore.rename(self._store, key, target)

    def delete(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError), _said_plainly():
            obstore.delete(self._store, key)

    def list(self, prefix: str) -> Iterator[ObjectMeta]:
        with _said_plainly():
            for batch in obstore.list(self._store, prefix=prefix):
                for meta in batch:
                    yield ObjectMeta(meta["path"], meta["size"], meta["last_modified"])

    def local_path(self, key: str) -> Path | None:
        return None

    def presign(self, method: str, key: str, *, ttl_s: int, size_bytes: int | None = None) -> str | None:
        if not self._presigns:
            return None
        verb: Any = method
        link = obstore.sign(self._store, verb, key, timedelta(seconds=ttl_s))
        if self._sign_put is None or size_bytes is None or method != "PUT":
            return link
        return self._sign_put(link, ttl_s=ttl_s, size_bytes=size_bytes)


def open_store(settings: Settings) -> ObjectStore:
    """The store named by `LLMOS_STORAGE_URL`: nothing or a folder, or `s3://bucket/prefix`."""
    url = settings.storage_url
    if not url or not url.startswith("s3://"):
        root = Path(url.removeprefix("file://")) if url else settings.object_root
        return FolderStore(root, settings.tmp_root)
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    config: dict[str, Any] = {"region": settings.storage_region}
    if settings.storage_endpoint:
        config["endpoint"] = settings.storage_endpoint
    sign = None
    if settings.storage_access_key and settings.storage_secret_key:
        config["access_key_id"] = settings.storage_access_key
        config["secret_access_key"] = settings.storage_secret_key
        sign = partial(
            sign_put,
            access_key=settings.storage_access_key,
            secret_key=settings.storage_secret_key,
            region=settings.storage_region,
        )
    store = S3Store(
        bucket,
        prefix=prefix or None,
        client_options={"allow_http": True},
        retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=30)},
        **config,
    )
    return RemoteStore(store, presigns=settings.storage_presign, sign_put=sign)
