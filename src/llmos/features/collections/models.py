"""Tables of collections."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from llmos.core import clock
from llmos.core.ids import new_object_id
from llmos.features.accounts.models import Namespace
from llmos.infra.db.base import Base, IntPk

TITLE_CHARS = 60
DESCRIPTION_CHARS = 150
NOTE_CHARS = 500
MAX_ITEMS = 1000


class Collection(Base):
    """An ordered list with a title. Its address ends in `object_id`, so a new title breaks no link."""

    __tablename__ = "collections"
    __table_args__ = (
        UniqueConstraint("namespace_id", "slug_base"),
        Index("ix_collections_updated", "updated_at", "id"),
        Index("ix_collections_upvotes", "upvotes", "id"),
    )

    id: Mapped[IntPk]
    object_id: Mapped[str] = mapped_column(String(24), default=new_object_id, unique=True)
    namespace_id: Mapped[int] = mapped_column(ForeignKey("namespaces.id", ondelete="CASCADE"), index=True)
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    title: Mapped[str] = mapped_column(String(TITLE_CHARS))
    # The title in lower case: two collections of one owner do not share it.
    slug_base: Mapped[str] = mapped_column(String(2 * TITLE_CHARS))
    description: Mapped[str] = mapped_column(String(DESCRIPTION_CHARS), default="")
    is_private: Mapped[bool] = mapped_column(default=False)
    theme: Mapped[str] = mapped_column(String(12), default="green")
    position: Mapped[int] = mapped_column(default=0)
    upvotes: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    updated_at: Mapped[datetime] = mapped_column(default=clock.now)

    namespace: Mapped[Namespace] = relationship(lazy="joined")

    @property
    def key(self) -> str:
        """The name under which a fine-grained token may list it."""
        return f"collection:{self.namespace.name_key}/{self.object_id}"


class CollectionItem(Base):
    """One entry. `target_key` says what it is, once a collection: `repo:7`, `paper:2307.09288`."""

    __tablename__ = "collection_items"
    __table_args__ = (UniqueConstraint("collection_id", "target_key"),)

    id: Mapped[IntPk]
    object_id: Mapped[str] = mapped_column(String(24), default=new_object_id, unique=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collections.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(12))
    target_key: Mapped[str] = mapped_column(String(80), index=True)
    repo_id: Mapped[int | None] = mapped_column(ForeignKey("repos.id", ondelete="CASCADE"), index=True)
    bucket_id: Mapped[int | None] = mapped_column(ForeignKey("buckets.id", ondelete="CASCADE"), index=True)
    linked_id: Mapped[int | None] = mapped_column(
        ForeignKey("collections.id", ondelete="CASCADE"), index=True
    )
    paper_id: Mapped[str | None] = mapped_column(String(40))
    note: Mapped[str] = mapped_column(String(NOTE_CHARS), default="")
    position: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)


class CollectionVote(Base):
    """A person finds a collection useful."""

    __tablename__ = "collection_votes"

    collection_id: Mapped[int] = mapped_column(
        ForeignKey("collections.id", ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
