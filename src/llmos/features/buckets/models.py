"""Tables of buckets."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from llmos.core import clock
from llmos.core.ids import new_object_id
from llmos.features.accounts.models import Namespace
from llmos.infra.db.base import Base, IntPk

# An index entry of PostgreSQL holds at most 2704 bytes.
MAX_PATH_BYTES = 1024
# Byte order on both databases, so that files below a prefix are one run of the index.
PathText = String(MAX_PATH_BYTES).with_variant(String(MAX_PATH_BYTES, collation="C"), "postgresql")


class Bucket(Base):
    """A bucket. `file_count` and `size_bytes` follow its files, in the same transactions.

    A deleted one keeps its files until it is purged, under a `name_key` that no name can have.
    """

    __tablename__ = "buckets"
    __table_args__ = (UniqueConstraint("namespace_id", "name_key"),)

    id: Mapped[IntPk]
    object_id: Mapped[str] = mapped_column(String(24), default=new_object_id, unique=True)
    namespace_id: Mapped[int] = mapped_column(ForeignKey("namespaces.id"))
    name: Mapped[str] = mapped_column(String(96))
    name_key: Mapped[str] = mapped_column(String(96))
    visibility: Mapped[str] = mapped_column(String(10), default="public")  # public|private
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    updated_at: Mapped[datetime] = mapped_column(default=clock.now)
    file_count: Mapped[int] = mapped_column(default=0)
    size_bytes: Mapped[int] = mapped_column(default=0)
    deleted_at: Mapped[datetime | None] = mapped_column(index=True)

    namespace: Mapped[Namespace] = relationship(lazy="joined")

    @property
    def bucket_name(self) -> str:
        return f"{self.namespace.name}/{self.name}"

    @property
    def is_private(self) -> bool:
        return self.visibility == "private"

    @property
    def key(self) -> str:
        """`bucket:namespace/name` in lower case, as scopes of tokens name it."""
        return f"bucket:{self.bucket_name}".lower()


class BucketFile(Base):
    """A file. The reference has no ON DELETE: the database itself refuses to forget a used file."""

    __tablename__ = "bucket_files"
    __table_args__ = (Index("ix_bucket_files_xet_hash", "xet_hash"),)

    bucket_id: Mapped[int] = mapped_column(ForeignKey("buckets.id", ondelete="CASCADE"), primary_key=True)
    path: Mapped[str] = mapped_column(PathText, primary_key=True)
    xet_hash: Mapped[str] = mapped_column(ForeignKey("xet_files.file_hash"))
    size_bytes: Mapped[int]
    mtime: Mapped[datetime | None]
    content_type: Mapped[str | None] = mapped_column(String(200))
    uploaded_at: Mapped[datetime] = mapped_column(default=clock.now)


class BucketUpload(Base):
    """Somebody with write access has brought the bytes of this file to the bucket.

    So it may be put under a path; knowing a hash alone never suffices. Keeps nothing from being
    collected, and goes with the file.
    """

    __tablename__ = "bucket_uploads"
    __table_args__ = (Index("ix_bucket_uploads_xet_hash", "xet_hash"),)

    bucket_id: Mapped[int] = mapped_column(ForeignKey("buckets.id", ondelete="CASCADE"), primary_key=True)
    xet_hash: Mapped[str] = mapped_column(
        ForeignKey("xet_files.file_hash", ondelete="CASCADE"), primary_key=True
    )
    created_at: Mapped[datetime] = mapped_column(default=clock.now)


class BucketAlias(Base):
    """An old name of a moved bucket; gives way when a new bucket takes the name."""

    __tablename__ = "bucket_aliases"

    name_key: Mapped[str] = mapped_column(String(200), primary_key=True)  # "ns/name", lower case
    bucket_id: Mapped[int] = mapped_column(ForeignKey("buckets.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)


class BucketChange(Base):
    """What happened to a path, for those who follow the bucket: `op` is add, update or delete.

    Ids rise in order of commit within a bucket, as batches hold its row locked.
    """

    __tablename__ = "bucket_changes"
    __table_args__ = (Index("ix_bucket_changes_bucket", "bucket_id", "id"),)

    id: Mapped[IntPk]
    bucket_id: Mapped[int] = mapped_column(ForeignKey("buckets.id", ondelete="CASCADE"))
    op: Mapped[str] = mapped_column(String(6))
    path: Mapped[str] = mapped_column(PathText)
    size_bytes: Mapped[int | None]
    xet_hash: Mapped[str | None] = mapped_column(String(64))
    mtime: Mapped[datetime | None]
    changed_at: Mapped[datetime] = mapped_column(default=clock.now, index=True)
