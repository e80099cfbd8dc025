"""Tables of the forum alone: polls, bookmarks, drafts."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from llmos.core import clock
from llmos.features.discussions.models import Comment
from llmos.infra.db.base import Base, IntPk


class Poll(Base):
    """A question put with a topic. With `hides_votes` only those who voted see the result until it closes.

    `voter_count` is the number of people, not of votes.
    """

    __tablename__ = "polls"

    thread_id: Mapped[int] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"), primary_key=True)
    question: Mapped[str] = mapped_column(String(250))
    is_multiple: Mapped[bool] = mapped_column(default=False)
    hides_votes: Mapped[bool] = mapped_column(default=False)
    closes_at: Mapped[datetime | None]
    voter_count: Mapped[int] = mapped_column(default=0)

    options: Mapped[list[PollOption]] = relationship(order_by="PollOption.position", lazy="joined")


class PollOption(Base):
    __tablename__ = "poll_options"
    __table_args__ = (Index("ix_poll_options_thread", "thread_id", "position"),)

    id: Mapped[IntPk]
    thread_id: Mapped[int] = mapped_column(ForeignKey("polls.thread_id", ondelete="CASCADE"))
    position: Mapped[int]
    label: Mapped[str] = mapped_column(String(200))
    vote_count: Mapped[int] = mapped_column(default=0)


class PollVote(Base):
    """One person's choice; several rows of a person where the poll allows it."""

    __tablename__ = "poll_votes"
    __table_args__ = (Index("ix_poll_votes_thread", "thread_id", "user_id"),)

    option_id: Mapped[int] = mapped_column(
        ForeignKey("poll_options.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    thread_id: Mapped[int] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)


class Bookmark(Base):
    """A post somebody wants to find again; nobody else sees it."""

    __tablename__ = "bookmarks"
    __table_args__ = (Index("ix_bookmarks_user", "user_id", "created_at"),)

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    comment_id: Mapped[int] = mapped_column(
        ForeignKey("comments.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    created_at: Mapped[datetime] = mapped_column(default=clock.now)

    comment: Mapped[Comment] = relationship()


class Draft(Base):
    """Text not sent yet, kept for its author alone. `place`: `new`, or `topic-12` for a reply there."""

    __tablename__ = "drafts"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    place: Mapped[str] = mapped_column(String(60), primary_key=True)
    title: Mapped[str] = mapped_column(String(250), default="")
    text: Mapped[str] = mapped_column(Text, default="")
    category: Mapped[str] = mapped_column(String(60), default="")
    tags: Mapped[str] = mapped_column(String(400), default="")
    updated_at: Mapped[datetime] = mapped_column(default=clock.now)
