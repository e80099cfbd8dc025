"""Tables of the Xet store. Hashes are kept as their 64-digit text."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core import clock
from llmos.infra.db.base import Base, Sha256Hex


class XetXorb(Base):
    """A verified xorb at `xorbs/ab/<hash>.<layout>` in the store; the row exists only once it is durable.

    `chunks` is its chunk list, 40 bytes a chunk, so that nothing needs the object to be read again.
    """

    __tablename__ = "xet_xorbs"

    xorb_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    chunks: Mapped[bytes] = mapped_column(LargeBinary)
    layout: Mapped[str] = mapped_column(String(12))
    raw_bytes: Mapped[int]
    packed_bytes: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    # Clients remember a xorb for 21 days from its upload or from the day we told them about it.
    touched_at: Mapped[datetime] = mapped_column(default=clock.now, index=True)
    # Set by a first run of garbage collection, cleared by any touch; a later run removes.
    doomed_at: Mapped[datetime | None]
    scrubbed_at: Mapped[datetime | None] = mapped_column(index=True)
    quarantined_at: Mapped[datetime | None]


class XetXorbScope(Base):
    """A namespace has proved that it knows this xorb: by sending it or by naming its chunk hashes."""

    __tablename__ = "xet_xorb_scopes"

    xorb_hash: Mapped[str] = mapped_column(
        ForeignKey("xet_xorbs.xorb_hash", ondelete="CASCADE"), primary_key=True
    )
    scope_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    # Sent by the namespace, and in no file of it yet: such bytes count against its quota by themselves.
    is_pending: Mapped[bool] = mapped_column(default=False, server_default=text("false"), index=True)


class XetFile(Base):
    """A file proved from its chunks. `sha256` is its true digest once the bytes were hashed."""

    __tablename__ = "xet_files"
    __table_args__ = (Index("ix_xet_files_sha256", "sha256"),)

    file_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    size_bytes: Mapped[int]
    terms: Mapped[bytes] = mapped_column(LargeBinary)
    sha256: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    touched_at: Mapped[datetime] = mapped_column(default=clock.now, index=True)


class XetDedupChunk(Base):
    """Where a namespace has a chunk that clients may ask about: the file whose xorbs to tell."""

    __tablename__ = "xet_dedup_chunks"

    chunk_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    scope_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    file_hash: Mapped[str] = mapped_column(ForeignKey("xet_files.file_hash", ondelete="CASCADE"), index=True)


class XetConversion(Base):
    """How far a plain LFS object has come on its way to chunks.

    `converted`: readers may have either; `retired`: the object's row is gone and its bytes wait for
    their removal; `failed`: `attempts` so far, `message` says why; `kept`: an operator wants it plain.
    """

    __tablename__ = "xet_conversions"

    oid: Mapped[Sha256Hex] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(String(12))
    file_hash: Mapped[str | None] = mapped_column(String(64))
    size_bytes: Mapped[int]
    attempts: Mapped[int] = mapped_column(default=0)
    message: Mapped[str] = mapped_column(Text, default="")
    # Every wait (before the next attempt, the retirement, the removal) counts from here.
    changed_at: Mapped[datetime] = mapped_column(default=clock.now, index=True)
