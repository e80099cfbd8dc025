"""Tables of discovery: who was active when, and what followers read."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import Date, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core import clock
from llmos.infra.db.base import Base, IntPk


class ActivityDay(Base):
    """How often a person did something of a kind on a day (UTC): `commit`, `post`, `like`, `repo`."""

    __tablename__ = "activity_days"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    kind: Mapped[str] = mapped_column(String(12), primary_key=True)
    count: Mapped[int] = mapped_column(default=0)


class FeedEntry(Base):
    """One piece of news for the followers of a person and of the owner of a repository."""

    __tablename__ = "feed_entries"
    __table_args__ = (
        Index("ix_feed_entries_actor", "actor_id", "id"),
        Index("ix_feed_entries_namespace", "namespace_id", "id"),
    )

    id: Mapped[IntPk]
    kind: Mapped[str] = mapped_column(String(20))
    actor_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    namespace_id: Mapped[int | None] = mapped_column(ForeignKey("namespaces.id", ondelete="CASCADE"))
    repo_id: Mapped[int | None] = mapped_column(ForeignKey("repos.id", ondelete="CASCADE"), index=True)
    thread_id: Mapped[int | None] = mapped_column(index=True)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
