"""Turn a plain LFS object into chunks, by running the official client against our own store.

Nothing here changes what readers see; the row that does is written above, by who knows the claims.
Run it in a process of its own: the client's library is native and keeps tens of MiB.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from llmos.core import clock
from llmos.core.errors import Conflict, LlmosError
from llmos.features.storage.models import LfsObject
from llmos.features.storage.objects import Quarantined, get_lfs_object, lock_object, object_key
from llmos.features.storage.xet.digests import digest_file
from llmos.features.storage.xet.models import XetFile
from llmos.infra.runtime import Runtime

log = logging.getLogger(__name__)

_WORK_PREFIX = "convert-"
# One thing at a time: uploads of people come first.
_CLIENT_SETTINGS: dict[str, object] = {
    "telemetry.enabled": False,
    "client.ac_max_upload_concurrency": 1,
    "client.ac_initial_upload_concurrency": 1,
    "data.max_concurrent_file_ingestion": 1,
}


class ConversionFailed(Conflict):
    """The object stays as it is; the message says why."""

    code = "ConversionFailed"


@dataclass(frozen=True, slots=True)
class CasAddress:
    """Where to send chunks, and a token that permits it until `expires_at_s`."""

    url: str
    token: str
    expires_at_s: int


def can_convert(rt: Runtime) -> str | None:
    """None where LFS uploads are converted; else why they are not."""
    mode = rt.settings.lfs_to_xet
    if mode == "off":
        return "switched off by LLMOS_LFS_TO_XET"
    if mode == "auto" and rt.settings.storage_presign:
        return "downloads go straight to the object store (LLMOS_LFS_TO_XET=on converts all the same)"
    if importlib.util.find_spec("hf_xet") is None:
        return "the package hf-xet is not installed"
    return None


def has_disk(rt: Runtime, size_bytes: int) -> bool:
    """Whether a second copy of so many bytes leaves the disk enough room; a bucket always has."""
    probe = rt.objects.local_path("lfs")
    if probe is None:
        return True
    root = next(folder for folder in (probe, *probe.parents) if folder.exists())
    return shutil.disk_usage(root).free - size_bytes >= rt.settings.lfs_to_xet_free_bytes


def convert_object(rt: Runtime, oid: str, connect: Callable[[], CasAddress]) -> str:
    """The Xet hash of a stored file with exactly this object's bytes, made where there is none yet.

    Slow: reads the object, and the chunks again to hash what readers will get. Raises Quarantined
    for an object whose own bytes are damaged (it then is in quarantine), ConversionFailed, and
    Unavailable. Safe to be killed and to run again.
    """
    with rt.database.reading() as db:
        found = get_lfs_object(db, oid)
        if found is None:
            raise ConversionFailed("The object is gone.")
        known = db.scalars(
            select(XetFile.file_hash).where(XetFile.sha256 == oid, XetFile.size_bytes == found.size_bytes)
        ).all()
    for file_hash in known:
        with contextlib.suppress(LlmosError):  # damaged chunks: sent anew, they heal
            check_bytes(rt, file_hash, oid)
            return file_hash
    file_hash = _send(rt, found, connect())
    check_bytes(rt, file_hash, oid)
    return file_hash


def check_bytes(rt: Runtime, file_hash: str, oid: str) -> None:
    """ConversionFailed unless every byte of the Xet file, read from the store, hashes to `oid`."""
    try:
        sha256 = digest_file(rt, file_hash)
    except LlmosError as error:
        raise ConversionFailed(f"Xet file {file_hash} cannot be read back: {error.message}") from error
    if sha256 != oid:
        raise ConversionFailed(f"Xet file {file_hash} has SHA-256 {sha256}: the plain object is kept.")


def _send(rt: Runtime, found: LfsObject, address: CasAddress) -> str:
    """Upload the object's bytes to our own store; the Xet hash."""
    with _client_home(rt):
        import hf_xet

        session = hf_xet.XetSession(hf_xet.XetConfig().with_config(_CLIENT_SETTINGS))
        commit = session.new_upload_commit(
            endpoint=address.url, token=address.token, token_expiry_unix_secs=address.expires_at_s
        )
        try:
            stream = commit.start_upload_stream(name=found.oid, sha256=found.oid)
            for piece in _paced(_checked(rt, found), rt.settings.lfs_to_xet_bytes_per_s):
                stream.write(piece)
            sent = stream.finish()
            commit.wait_to_finish()
        except (OSError, RuntimeError, ValueError) as error:
            with contextlib.suppress(OSError, RuntimeError, ValueError):
                commit.abort()
            raise ConversionFailed(f"The chunk store did not take it: {str(error)[:500]}") from error
        except LlmosError:
            commit.abort()
            raise
        return str(sent.xet_info.hash)


def _checked(rt: Runtime, found: LfsObject) -> Iterator[bytes]:
    """The object's bytes; Quarantined at the end, before the last piece, if they are not the right ones."""
    digest = hashlib.sha256()
    held = b""
    try:
        for piece in rt.objects.stream(object_key(found.oid), 0, found.size_bytes):
            digest.update(piece)
            if held:
                yield held
            held = piece
    except FileNotFoundError as error:
        raise ConversionFailed("The stored bytes are missing or too few.") from error
    if digest.hexdigest() != found.oid:
        _quarantine(rt, found.oid)
        raise Quarantined(found.oid)
    yield held


def _quarantine(rt: Runtime, oid: str) -> None:
    log.error("object %s no longer hashes to its name and was put into quarantine", oid)
    with rt.database.writing() as db:
        lock_object(db, oid)
        row = db.get(LfsObject, oid)
        if row is not None and row.quarantined_at is None:
            row.quarantined_at = clock.now()


def _paced(pieces: Iterator[bytes], bytes_per_s: int) -> Iterator[bytes]:
    started_at = time.monotonic()
    sent_bytes = 0
    for piece in pieces:
        yield piece
        sent_bytes += len(piece)
        if bytes_per_s:
            ahead_s = sent_bytes / bytes_per_s - (time.monotonic() - started_at)
            time.sleep(max(ahead_s, 0.0))


@contextlib.contextmanager
def _client_home(rt: Runtime) -> Iterator[None]:
    """A fresh folder for what the client remembers: what it knew of the store may no longer hold."""
    folder = tempfile.mkdtemp(prefix=_WORK_PREFIX, dir=rt.settings.tmp_root)
    names = ("HF_HOME", "HF_XET_CACHE")
    before = {name: os.environ.get(name) for name in names}
    os.environ |= dict.fromkeys(names, folder)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        shutil.rmtree(folder, ignore_errors=True)


def clean_work(rt: Runtime) -> None:
    """Remove what a killed conversion left; only for who knows that none is under way."""
    for folder in Path(rt.settings.tmp_root).glob(f"{_WORK_PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)
