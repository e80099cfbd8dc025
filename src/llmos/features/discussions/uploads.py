"""Pictures, films and sounds in comments: kept by content, served so that nothing in them runs."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, Forbidden, LlmosError, NotFound, QuotaExceeded, TooLarge
from llmos.features.accounts.actor import Actor
from llmos.features.discussions.models import Upload
from llmos.infra.db.upsert import upsert
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime

MIB = 1024 * 1024
MAX_BYTES = 10 * MIB
MAX_VIDEO_BYTES = 50 * MIB
MAX_BYTES_PER_PERSON = 1024 * MIB
_MARKS_BYTES = 16
_FILE_NAME = re.compile(r"([0-9a-f]{64})\.([a-z0-9]{3,4})\Z")


@dataclass(frozen=True, slots=True)
class MediaKind:
    """`starts` are byte patterns by offset, one of which the content must have."""

    media_type: str
    extension: str
    limit_bytes: int
    starts: tuple[tuple[int, bytes], ...]


_FTYP = ((4, b"ftyp"),)
KINDS = (
    MediaKind("image/png", "png", MAX_BYTES, ((0, b"\x89PNG\r\n\x1a\n"),)),
    MediaKind("image/jpeg", "jpg", MAX_BYTES, ((0, b"\xff\xd8\xff"),)),
    MediaKind("image/gif", "gif", MAX_BYTES, ((0, b"GIF87a"), (0, b"GIF89a"))),
    MediaKind("image/webp", "webp", MAX_BYTES, ((8, b"WEBP"),)),
    MediaKind("video/mp4", "mp4", MAX_VIDEO_BYTES, _FTYP),
    MediaKind("video/quicktime", "mov", MAX_VIDEO_BYTES, (*_FTYP, (4, b"moov"), (4, b"wide"), (4, b"mdat"))),
    MediaKind("video/webm", "webm", MAX_VIDEO_BYTES, ((0, b"\x1a\x45\xdf\xa3"),)),
    MediaKind(
        "audio/mpeg", "mp3", MAX_BYTES, ((0, b"ID3"), *((0, bytes((255, n))) for n in range(0xE2, 256)))
    ),
    MediaKind("audio/wav", "wav", MAX_BYTES, ((8, b"WAVE"),)),
)
_ALIASES = {"image/jpg": "image/jpeg", "audio/mp3": "audio/mpeg", "audio/x-wav": "audio/wav"}
_BY_TYPE = {kind.media_type: kind for kind in KINDS}
_BY_EXTENSION = {kind.extension: kind for kind in KINDS}


def check_can_upload(db: Session, actor: Actor) -> None:
    """Anyone signed in whose token may write in some discussion, up to MAX_BYTES_PER_PERSON."""
    user_id = actor.require_user()
    may_somewhere = any("discussion.write" in scope.verbs for scope in actor.scopes)
    if not actor.allows("discussion.write", "*") and not may_somewhere:
        raise Forbidden(lazy("This token may not upload: it needs the permission to write in discussions."))
    used = db.scalar(select(func.sum(Upload.size_bytes)).where(Upload.user_id == user_id)) or 0
    if used >= MAX_BYTES_PER_PERSON:
        raise QuotaExceeded(
            lazy("Your uploads in comments have reached %(limit)s bytes.", limit=MAX_BYTES_PER_PERSON)
        )


def check_media_type(content_type: str) -> MediaKind:
    """The kind of a `Content-Type`; 415 that lists the accepted ones."""
    media_type = content_type.split(";", maxsplit=1)[0].strip().lower()
    kind = _BY_TYPE.get(_ALIASES.get(media_type, media_type))
    if kind is None:
        raise LlmosError(
            lazy("Content-Type must be one of %(list)s.", list=", ".join(_BY_TYPE)),
            status=415,
            code="UnsupportedMediaType",
        )
    return kind


def is_of_kind(data: bytes, kind: MediaKind) -> bool:
    """Whether the content begins as files of this kind do."""
    return any(data[offset : offset + len(mark)] == mark for offset, mark in kind.starts)


def check_size(kind: MediaKind, size_bytes: int) -> None:
    if size_bytes > kind.limit_bytes:
        raise TooLarge(
            lazy(
                "The file is %(size)s bytes: at most %(limit)s bytes of %(type)s are accepted.",
                size=size_bytes,
                limit=kind.limit_bytes,
                type=kind.media_type,
            )
        )


def store_upload(rt: Runtime, actor: Actor, kind: MediaKind, data: bytes) -> str:
    """Keep the bytes and return the path of their address. BadRequest where they are not of the
    kind they claim to be. Opens its own transaction."""
    check_size(kind, len(data))
    if not is_of_kind(data, kind):
        raise BadRequest(lazy("The file is not %(type)s, as its Content-Type says.", type=kind.media_type))
    digest = hashlib.sha256(data).hexdigest()
    key = upload_key(digest)
    if rt.objects.head(key) != len(data):
        rt.objects.put_bytes(key, data)
    row = {
        "sha256": digest,
        "user_id": actor.require_user(),
        "media_type": kind.media_type,
        "size_bytes": len(data),
        "created_at": clock.now(),
    }
    with rt.database.writing() as db:
        upsert(db, Upload, [row], keys=["sha256", "user_id"], update=["created_at"])
    # Garbage collection may have taken the old bytes right before the row said that they are used.
    if rt.objects.head(key) != len(data):
        rt.objects.put_bytes(key, data)
    return f"/-/uploads/{digest}.{kind.extension}"


def upload_key(sha256: str) -> str:
    return f"uploads/{sha256[:2]}/{sha256}"


@dataclass(frozen=True, slots=True)
class FoundUpload:
    key: str
    sha256: str
    size_bytes: int
    media_type: str


def access_upload(db: Session, rt: Runtime, file_name: str) -> FoundUpload:
    """The upload behind `<sha256>.<extension>`; NotFound for any other name.

    The type served is that of the extension, and only one it was uploaded as. What people uploaded
    whose accounts are gone is still there for the texts that stayed.
    """
    match = _FILE_NAME.match(file_name)
    kind = _BY_EXTENSION.get(match[2]) if match else None
    if match is not None and kind is not None:
        wanted = (Upload.sha256 == match[1], Upload.media_type == kind.media_type)
        size_bytes = db.scalar(select(Upload.size_bytes).where(*wanted).limit(1))
        if size_bytes is not None:
            return FoundUpload(upload_key(match[1]), match[1], size_bytes, kind.media_type)
        left = rt.objects.head(upload_key(match[1]))
        if left is not None and is_of_kind(rt.objects.read(upload_key(match[1]), 0, _MARKS_BYTES), kind):
            return FoundUpload(upload_key(match[1]), match[1], left, kind.media_type)
    raise NotFound(lazy("There is no such upload."))
