"""LFS uploads in parts. All parts are written into one sparse file at their offsets, so joining
them copies nothing; a small marker beside it holds the ETag of each part that is on disk."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import delete, select
from sqlalchemy.orm import Session
from starlette.types import Receive

from llmos.core import clock
from llmos.core.errors import BadRequest, Conflict, LlmosError, NotFound, Unprocessable
from llmos.core.ids import new_secret
from llmos.features.storage.models import MultipartUpload
from llmos.features.storage.objects import put_lfs_object
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.bodies import receive_into

MAX_PARTS = 10_000
EXPIRES_AFTER = timedelta(days=7)
_READ_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PartPlan:
    """How one object is cut: every part but the last has `part_bytes`."""

    size_bytes: int
    part_bytes: int

    @property
    def count(self) -> int:
        return max(1, -(-self.size_bytes // self.part_bytes))

    def offset(self, number: int) -> int:
        return (number - 1) * self.part_bytes

    def length(self, number: int) -> int:
        return min(self.part_bytes, self.size_bytes - self.offset(number))

    def check_number(self, number: int) -> int:
        if not 1 <= number <= self.count:
            raise BadRequest(
                lazy(
                    "part %(number)s does not exist: this upload has parts 1 to %(count)s.",
                    number=number,
                    count=self.count,
                )
            )
        return number


def plan_parts(size_bytes: int, part_bytes: int) -> PartPlan:
    """Parts of `part_bytes`, or larger ones where that would be more than MAX_PARTS."""
    return PartPlan(size_bytes, max(part_bytes, -(-size_bytes // MAX_PARTS)))


def start_upload(db: Session, oid: str, size_bytes: int, part_bytes: int, scope_id: int) -> MultipartUpload:
    """The upload of this object for this repository; one under way is resumed."""
    known = db.scalars(
        select(MultipartUpload).where(
            MultipartUpload.oid == oid,
            MultipartUpload.scope_id == scope_id,
            MultipartUpload.size_bytes == size_bytes,
            MultipartUpload.created_at > clock.now() - EXPIRES_AFTER / 2,
        )
    ).first()
    if known is not None:
        return known
    upload = MultipartUpload(
        upload_key=new_secret(24),
        oid=oid,
        size_bytes=size_bytes,
        part_bytes=plan_parts(size_bytes, part_bytes).part_bytes,
        scope_id=scope_id,
    )
    db.add(upload)
    db.flush()
    return upload


def get_upload(db: Session, upload_key: str) -> MultipartUpload | None:
    return db.scalar(select(MultipartUpload).where(MultipartUpload.upload_key == upload_key))


def access_upload(db: Session, upload_key: str) -> MultipartUpload:
    upload = get_upload(db, upload_key)
    if upload is None:
        raise NotFound(lazy("This upload is finished or has expired: start it again."))
    return upload


def _folder(rt: Runtime, upload: MultipartUpload) -> Path:
    return rt.settings.tmp_root / "multipart" / upload.upload_key


def _plan(upload: MultipartUpload) -> PartPlan:
    return PartPlan(upload.size_bytes, upload.part_bytes)


async def receive_part(rt: Runtime, upload: MultipartUpload, number: int, receive: Receive) -> str:
    """Store part `number` durably and return its ETag (without quotes).

    A part may be sent again until the upload is completed; an interrupted part counts as not sent.
    """
    plan = _plan(upload)
    plan.check_number(number)
    folder = _folder(rt, upload)
    folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    marker = folder / f"{number}.etag"
    fd = _open_for_writing(folder / "data")
    try:
        marker.unlink(missing_ok=True)
        etag = await receive_into(receive, fd, expected_bytes=plan.length(number), offset=plan.offset(number))
    finally:
        os.close(fd)
    partial = folder / f"{number}.{new_secret(6)}.tmp"
    partial.write_text(etag)
    partial.replace(marker)
    return etag


def _open_for_writing(path: Path) -> int:
    """A descriptor under a shared lock: nobody can publish the file while it is open."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if path.stat().st_ino != os.fstat(fd).st_ino:
            raise FileNotFoundError(path)
    except (BlockingIOError, FileNotFoundError) as error:
        os.close(fd)
        raise Conflict(lazy("This upload is being completed: no more parts are accepted.")) from error
    return fd


def complete_upload(rt: Runtime, upload: MultipartUpload, parts: Mapping[int, str]) -> None:
    """Check the parts the client lists, hash the whole and publish it as an LFS object.

    Slow (reads every byte once); runs its own transactions. Raises BadRequest when parts are
    missing or differ, Unprocessable when the whole has another hash (the upload is then thrown
    away), Conflict when another completion is under way.
    """
    folder = _folder(rt, upload)
    # Whoever renames the file first completes it.
    taken = folder / f"taken-{new_secret(6)}"
    try:
        (folder / "data").rename(taken)
    except FileNotFoundError as error:
        raise Conflict(
            lazy("No part has arrived yet, or another request is completing this upload.")
        ) from error
    try:
        _publish(rt, upload, taken, parts)
    except Unprocessable:
        drop_upload(rt, upload)
        raise
    except (LlmosError, OSError):
        with contextlib.suppress(FileNotFoundError):
            taken.rename(folder / "data")
        raise


def _publish(rt: Runtime, upload: MultipartUpload, taken: Path, parts: Mapping[int, str]) -> None:
    with taken.open("rb+") as file:
        try:
            # Held to the end: bytes must not change between their hashing and their publication.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                lazy("A part is still arriving: complete the upload when all are done.")
            ) from error
        _check_parts(taken.parent, _plan(upload), parts)
        if os.fstat(file.fileno()).st_size != upload.size_bytes:
            raise Unprocessable(
                lazy("The parts do not add up to the announced size: start the upload again.")
            )
        put_lfs_object(rt, taken, upload.oid, upload.size_bytes, sha256=_sha256(taken))


def _check_parts(folder: Path, plan: PartPlan, parts: Mapping[int, str]) -> None:
    for number in range(1, plan.count + 1):
        try:
            stored = (folder / f"{number}.etag").read_text()
        except FileNotFoundError:
            raise BadRequest(
                lazy(
                    "parts: part %(number)s of %(count)s has not been uploaded.",
                    number=number,
                    count=plan.count,
                )
            ) from None
        listed = parts.get(number)
        if listed is None or listed.strip('"') != stored:
            raise BadRequest(
                lazy("parts: the etag of part %(number)s is not the one its upload answered.", number=number)
            )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def drop_upload(rt: Runtime, upload: MultipartUpload) -> None:
    """Forget an upload and remove what was received of it."""
    with rt.database.writing() as db:
        db.execute(delete(MultipartUpload).where(MultipartUpload.id == upload.id))
    shutil.rmtree(_folder(rt, upload), ignore_errors=True)


def drop_expired_uploads(rt: Runtime) -> int:
    """Remove uploads nobody completed within EXPIRES_AFTER; return how many."""
    with rt.database.reading() as db:
        expired = db.scalars(
            select(MultipartUpload).where(MultipartUpload.created_at < clock.now() - EXPIRES_AFTER)
        ).all()
    for upload in expired:
        drop_upload(rt, upload)
    return len(expired)
