"""Tables of the playground: kept conversations, and those behind a public link."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from llmos.core import clock
from llmos.core.ids import new_object_id, new_secret
from llmos.features.accounts.models import User
from llmos.infra.db.base import Base, IntPk


def _new_secret() -> str:
    return new_secret(18)


class PlaygroundChat(Base):
    """A conversation its owner kept; `talk` is a `schemas.Talk`. Nobody else ever sees it."""

    __tablename__ = "playground_chats"
    __table_args__ = (Index("ix_playground_chats_user_changed", "user_id", "changed_at"),)

    id: Mapped[IntPk]
    object_id: Mapped[str] = mapped_column(String(24), default=new_object_id, unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    title: Mapped[str] = mapped_column(String(200))
    talk: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    changed_at: Mapped[datetime] = mapped_column(default=clock.now)


class PlaygroundShare(Base):
    """A conversation as it was when its owner made a link to it; whoever knows `secret` may read it."""

    __tablename__ = "playground_shares"

    id: Mapped[IntPk]
    secret: Mapped[str] = mapped_column(String(40), default=_new_secret, unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    title: Mapped[str] = mapped_column(String(200))
    talk: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)

    user: Mapped[User] = relationship(lazy="joined")
