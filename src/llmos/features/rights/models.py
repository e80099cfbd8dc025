"""Tables of data rights."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core import clock
from llmos.core.ids import new_object_id
from llmos.infra.db.base import Base, IntPk


class DataExport(Base):
    """A copy of a person's data, asked for and, when `ready_at` is set, lying in `exports/`."""

    __tablename__ = "data_exports"

    id: Mapped[IntPk]
    object_id: Mapped[str] = mapped_column(String(24), default=new_object_id, unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    requested_at: Mapped[datetime] = mapped_column(default=clock.now)
    ready_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    size_bytes: Mapped[int] = mapped_column(default=0)


class AccountDeletion(Base):
    """An account that will be deleted at `due_at` unless its owner changes their mind."""

    __tablename__ = "account_deletions"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    requested_at: Mapped[datetime] = mapped_column(default=clock.now)
    due_at: Mapped[datetime] = mapped_column(index=True)
    removes_posts: Mapped[bool] = mapped_column(default=False)
    # Who receives the repositories; None: they are deleted.
    heir_id: Mapped[int | None] = mapped_column(ForeignKey("namespaces.id", ondelete="SET NULL"))
    hands_over: Mapped[bool] = mapped_column(default=False)
