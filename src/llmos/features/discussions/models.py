"""Tables of discussions: threads and all that hangs on them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from llmos.core import clock
from llmos.core.ids import new_object_id
from llmos.features.accounts.models import User
from llmos.features.repos.models import Repo
from llmos.infra.db.base import Base, IntPk, Sha256Hex

DISCUSSION: Final = "discussion"
PULL_REQUEST: Final = "pull_request"
TOPIC: Final = "topic"

DRAFT: Final = "draft"
OPEN: Final = "open"
CLOSED: Final = "closed"
MERGED: Final = "merged"


class Category(Base):
    """A part of the forum. `format` is what its topics are: open, announcement, question or paper."""

    __tablename__ = "categories"

    id: Mapped[IntPk]
    slug: Mapped[str] = mapped_column(String(60), unique=True)
    name_en: Mapped[str] = mapped_column(String(100))
    name_zh: Mapped[str] = mapped_column(String(100))
    description_en: Mapped[str] = mapped_column(String(500), default="")
    description_zh: Mapped[str] = mapped_column(String(500), default="")
    format: Mapped[str] = mapped_column(String(16), default="open")
    icon: Mapped[str] = mapped_column(String(40), default="")
    position: Mapped[int] = mapped_column(default=0)
    is_archived: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)


_SHOWN: Final[dict[str, Any]] = {
    f"{dialect}_where": text("category_id IS NOT NULL AND hidden_at IS NULL")
    for dialect in ("sqlite", "postgresql")
}
_SOLVED: Final[dict[str, Any]] = {
    f"{dialect}_where": text("answer_id IS NOT NULL AND hidden_at IS NULL")
    for dialect in ("sqlite", "postgresql")
}


class Thread(Base):
    """A discussion or pull request of a repository, or a topic of the forum.

    `num` counts per repository, discussions and pull requests together; a topic's is its `id`.
    `kind`: discussion, pull_request or topic. `status`: open, closed, merged or draft (a pull
    request not yet offered). `comment_count` counts all comments, the description included.
    """

    __tablename__ = "threads"
    __table_args__ = (
        UniqueConstraint("repo_id", "num"),
        Index("ix_threads_repo_kind_status", "repo_id", "kind", "status", "num"),
        Index("ix_threads_category_activity", "category_id", "last_activity_at", "id"),
        Index("ix_threads_kind_activity", "kind", "last_activity_at", "id"),
        Index("ix_threads_author", "author_id", "id"),
        # What the forum shows: its lists read nothing else.
        Index("ix_threads_shown", "category_id", "last_activity_at", "id", **_SHOWN),
        Index("ix_threads_score", "score", "id", **_SHOWN),
        Index("ix_threads_solved", "last_activity_at", "id", **_SOLVED),
        Index(
            "ix_threads_pinned",
            "category_id",
            sqlite_where=text("is_pinned IS 1"),
            postgresql_where=text("is_pinned IS true"),
        ),
    )

    id: Mapped[IntPk]
    kind: Mapped[str] = mapped_column(String(12))
    repo_id: Mapped[int | None] = mapped_column(ForeignKey("repos.id", ondelete="CASCADE"))
    num: Mapped[int] = mapped_column(default=0)
    category_id: Mapped[int | None] = mapped_column(ForeignKey("categories.id"))
    title: Mapped[str] = mapped_column(String(250))
    author_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    status: Mapped[str] = mapped_column(String(8), default=OPEN)
    is_pinned: Mapped[bool] = mapped_column(default=False)
    is_locked: Mapped[bool] = mapped_column(default=False)
    is_wiki: Mapped[bool] = mapped_column(default=False)
    hidden_at: Mapped[datetime | None]
    hidden_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    first_comment_id: Mapped[int | None]  # the description
    answer_id: Mapped[int | None]  # the accepted answer, a comment of this thread
    comment_count: Mapped[int] = mapped_column(default=0)
    view_count: Mapped[int] = mapped_column(default=0)
    score: Mapped[int] = mapped_column(default=0, server_default="0")  # of a topic; see forum_events.py
    last_author_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    last_activity_at: Mapped[datetime] = mapped_column(default=clock.now)
    closed_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(default=1)  # grows with title and status

    author: Mapped[User | None] = relationship(foreign_keys=[author_id], lazy="joined")
    last_author: Mapped[User | None] = relationship(foreign_keys=[last_author_id])
    repo: Mapped[Repo | None] = relationship()
    category: Mapped[Category | None] = relationship()
    pull: Mapped[PullRequest | None] = relationship(back_populates="thread")

    @property
    def is_pull_request(self) -> bool:
        return self.kind == PULL_REQUEST


class Comment(Base):
    """What somebody wrote in a thread; the first comment of a thread is its description.

    `version` starts at 1 and grows with every edit. A line comment names `path`, `side` (old or
    new), `line` (the last one, from 1; `start_line` the first of several) and the commit `oid`
    it was written on; `reply_to_id` answers another comment.
    """

    __tablename__ = "comments"
    __table_args__ = (
        Index("ix_comments_thread", "thread_id", "id"),
        Index("ix_comments_author", "author_id", "id"),
    )

    id: Mapped[IntPk]
    public_id: Mapped[str] = mapped_column(String(24), default=new_object_id, unique=True)
    thread_id: Mapped[int] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"))
    author_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    text: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    edited_at: Mapped[datetime | None]
    edited_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    edit_count: Mapped[int] = mapped_column(default=0)
    hidden_at: Mapped[datetime | None]
    hidden_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    hidden_reason: Mapped[str] = mapped_column(String(300), default="")
    reply_to_id: Mapped[int | None] = mapped_column(
        ForeignKey("comments.id", ondelete="SET NULL"), index=True
    )
    review_id: Mapped[int | None] = mapped_column(ForeignKey("reviews.id", ondelete="SET NULL"))
    path: Mapped[str | None] = mapped_column(String(4096))
    side: Mapped[str | None] = mapped_column(String(3))  # old | new
    line: Mapped[int | None]
    start_line: Mapped[int | None]
    oid: Mapped[str | None] = mapped_column(String(40))
    resolved_at: Mapped[datetime | None]
    resolved_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))

    author: Mapped[User | None] = relationship(foreign_keys=[author_id], lazy="joined")
    thread: Mapped[Thread] = relationship(foreign_keys=[thread_id])

    @property
    def is_hidden(self) -> bool:
        return self.hidden_at is not None


class CommentVersion(Base):
    """An earlier text of a comment: `version` 1 is the first, the latest is in the comment itself."""

    __tablename__ = "comment_versions"

    comment_id: Mapped[int] = mapped_column(ForeignKey("comments.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text: Mapped[str] = mapped_column(Text)
    author_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)  # when this text was written


class ThreadEvent(Base):
    """Something that happened in a thread beside comments; see `events.py` for kinds and data."""

    __tablename__ = "thread_events"
    __table_args__ = (Index("ix_thread_events_thread", "thread_id", "created_at", "id"),)

    id: Mapped[IntPk]
    public_id: Mapped[str] = mapped_column(String(24), default=new_object_id)
    thread_id: Mapped[int] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(24))
    actor_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)

    actor: Mapped[User | None] = relationship(lazy="joined")


class Reaction(Base):
    """One person's emoji under a comment."""

    __tablename__ = "reactions"

    comment_id: Mapped[int] = mapped_column(ForeignKey("comments.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    emoji: Mapped[str] = mapped_column(String(16), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)

    user: Mapped[User] = relationship()


class PullRequest(Base):
    """What a thread on `refs/pr/<num>` wants merged.

    `base_oid` is the base when it was opened, `head_oid` repeats the ref (git is the truth);
    `merge_oid`, the commit that brought it into `base_ref`, and the rest are set by the merge.
    """

    __tablename__ = "pull_requests"

    thread_id: Mapped[int] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"), primary_key=True)
    base_ref: Mapped[str] = mapped_column(String(250))  # refs/heads/main
    base_oid: Mapped[str | None] = mapped_column(String(40))
    head_oid: Mapped[str | None] = mapped_column(String(40))
    merge_oid: Mapped[str | None] = mapped_column(String(40))
    merged_base_oid: Mapped[str | None] = mapped_column(String(40))  # the base right before the merge
    merge_method: Mapped[str | None] = mapped_column(String(8))  # merge | squash
    merged_at: Mapped[datetime | None]
    merged_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))

    thread: Mapped[Thread] = relationship(back_populates="pull")
    merged_by: Mapped[User | None] = relationship()


class Review(Base):
    """A verdict on the commit `oid`: approve, request_changes or comment; its comments point here."""

    __tablename__ = "reviews"
    __table_args__ = (Index("ix_reviews_thread", "thread_id", "id"),)

    id: Mapped[IntPk]
    thread_id: Mapped[int] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"))
    author_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    verdict: Mapped[str] = mapped_column(String(16))
    oid: Mapped[str | None] = mapped_column(String(40))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    dismissed_at: Mapped[datetime | None]

    author: Mapped[User | None] = relationship(lazy="joined")


class ReviewNote(Base):
    """A comment on lines that its author has not sent yet; see `review_notes.py`. As of `Comment`."""

    __tablename__ = "review_notes"
    __table_args__ = (Index("ix_review_notes_author", "author_id", "thread_id", "id"),)

    id: Mapped[IntPk]
    public_id: Mapped[str] = mapped_column(String(24), default=new_object_id, unique=True)
    thread_id: Mapped[int] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"), index=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    reply_to_id: Mapped[int | None] = mapped_column(ForeignKey("comments.id", ondelete="SET NULL"))
    text: Mapped[str] = mapped_column(Text)
    path: Mapped[str] = mapped_column(String(4096))
    side: Mapped[str] = mapped_column(String(3))
    line: Mapped[int]
    start_line: Mapped[int | None]
    oid: Mapped[str] = mapped_column(String(40))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)


class ThreadTag(Base):
    __tablename__ = "thread_tags"
    __table_args__ = (Index("ix_thread_tags_tag", "tag", "thread_id"),)

    thread_id: Mapped[int] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(60), primary_key=True)


class RepoThreadRules(Base):
    """A repository's settings of its community tab; no row: the defaults."""

    __tablename__ = "repo_thread_rules"

    repo_id: Mapped[int] = mapped_column(ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    are_discussions_disabled: Mapped[bool] = mapped_column(default=False)
    required_approvals: Mapped[int] = mapped_column(default=0)
    required_checks: Mapped[list[str]] = mapped_column(default=list)


class CommitCheck(Base):
    """What a check says of a commit: `state` is pending, success or failure."""

    __tablename__ = "commit_checks"

    repo_id: Mapped[int] = mapped_column(ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    oid: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    state: Mapped[str] = mapped_column(String(8))
    description: Mapped[str] = mapped_column(String(300), default="")
    url: Mapped[str] = mapped_column(String(1000), default="")
    reported_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    updated_at: Mapped[datetime] = mapped_column(default=clock.now)


class Upload(Base):
    """A picture, film or sound somebody put into a comment; the bytes lie under `uploads/<sha256>`."""

    __tablename__ = "uploads"

    sha256: Mapped[Sha256Hex] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    media_type: Mapped[str] = mapped_column(String(60))
    size_bytes: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
