"""Tables of large objects kept in the object store."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core import clock
from llmos.infra.db.base import Base, IntPk, Sha256Hex


class LfsObject(Base):
    """A verified object at `lfs/ab/cd/<oid>` in the store; the row exists only once it is durable."""

    __tablename__ = "lfs_objects"

    oid: Mapped[Sha256Hex] = mapped_column(primary_key=True)
    size_bytes: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    # Garbage collection counts its grace from here: set at upload and at each new claim.
    touched_at: Mapped[datetime] = mapped_column(default=clock.now, index=True)
    quarantined_at: Mapped[datetime | None]


class MultipartUpload(Base):
    """An LFS upload in parts; parts lie under `tmp` until the completion call joins them."""

    __tablename__ = "multipart_uploads"

    id: Mapped[IntPk]
    upload_key: Mapped[str] = mapped_column(String(64), unique=True)
    oid: Mapped[Sha256Hex]
    size_bytes: Mapped[int]
    part_bytes: Mapped[int]
    scope_id: Mapped[int]  # the repository on whose behalf it is uploaded
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
