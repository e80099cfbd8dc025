"""Tables of notifications: what happened for whom, who watches what, mail wishes, webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from llmos.core import clock
from llmos.core.ids import new_object_id
from llmos.features.accounts.models import User
from llmos.features.discussions.models import Thread
from llmos.features.repos.models import Repo
from llmos.infra.db.base import Base, IntPk


class Notification(Base):
    """One piece of news for one person; `event_key` names the event, so that nobody is told twice.

    `reason` is why they are told, `kind` what happened; `title` and `href` are of the thing it is
    about, `data` holds more words of some kinds. `mail` is now, daily, weekly or never, as the
    person wished then; `mailed_at` is set once a digest has carried it.
    """

    __tablename__ = "notifications"
    __table_args__ = (
        UniqueConstraint("user_id", "event_key"),
        Index("ix_notifications_user", "user_id", "read_at", "id"),
        Index("ix_notifications_user_thread", "user_id", "thread_id"),
        Index("ix_notifications_thread", "thread_id"),
        Index("ix_notifications_repo", "repo_id"),
        Index("ix_notifications_comment", "comment_id"),
        Index("ix_notifications_digest", "mail", "mailed_at", "user_id"),
        # Ids are never given out twice: live connections ask for what is newer than one.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[IntPk]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    event_key: Mapped[str] = mapped_column(String(100))
    reason: Mapped[str] = mapped_column(String(16))
    kind: Mapped[str] = mapped_column(String(24))
    actor_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    repo_id: Mapped[int | None] = mapped_column(ForeignKey("repos.id", ondelete="CASCADE"))
    thread_id: Mapped[int | None] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"))
    comment_id: Mapped[int | None] = mapped_column(ForeignKey("comments.id", ondelete="CASCADE"))
    title: Mapped[str] = mapped_column(String(300), default="")
    href: Mapped[str] = mapped_column(String(600), default="")
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    mail: Mapped[str] = mapped_column(String(8), default="never")
    mailed_at: Mapped[datetime | None]
    read_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)

    user: Mapped[User] = relationship(foreign_keys=[user_id])
    actor: Mapped[User | None] = relationship(foreign_keys=[actor_id])
    repo: Mapped[Repo | None] = relationship()
    thread: Mapped[Thread | None] = relationship()


class RepoWatch(Base):
    """A person's choice for a repository's threads: watching, participating or muted."""

    __tablename__ = "repo_watches"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    repo_id: Mapped[int] = mapped_column(
        ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    level: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)


class ThreadWatch(Base):
    """A person's level for one thread. `is_chosen` is false where taking part brought it."""

    __tablename__ = "thread_watches"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    thread_id: Mapped[int] = mapped_column(
        ForeignKey("threads.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    level: Mapped[str] = mapped_column(String(16))
    is_chosen: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)


class NamespaceWatch(Base):
    """A person's level for all repositories of a person or organisation."""

    __tablename__ = "namespace_watches"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    namespace_id: Mapped[int] = mapped_column(
        ForeignKey("namespaces.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    level: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)


class NotificationSettings(Base):
    """Which reasons go to mail and when: `mail` maps a reason to now, daily, weekly or never."""

    __tablename__ = "notification_settings"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    mail: Mapped[dict[str, Any]] = mapped_column(default=dict)
    updated_at: Mapped[datetime] = mapped_column(default=clock.now)


class Digest(Base):
    """A digest that was handed to the mail queue: `period` is daily:2026-11-22 or weekly:2026-W47."""

    __tablename__ = "notification_digests"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    period: Mapped[str] = mapped_column(String(24), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)


class Webhook(Base):
    """Where news of the watched repositories is posted, for one person.

    `secret` is sent along and signs, so it is kept as it is. `failing_since` is set while the
    oldest delivery does not get through.
    """

    __tablename__ = "webhooks"

    id: Mapped[IntPk]
    object_id: Mapped[str] = mapped_column(String(24), default=new_object_id, unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    url: Mapped[str] = mapped_column(String(2000))
    secret: Mapped[str | None] = mapped_column(String(200))
    domains: Mapped[list[str]] = mapped_column(default=list)  # of: repo, discussion
    disabled_at: Mapped[datetime | None]
    failing_since: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)

    user: Mapped[User] = relationship()
    watched: Mapped[list[WebhookWatch]] = relationship(
        cascade="all, delete-orphan", order_by="WebhookWatch.id", lazy="selectin"
    )


class WebhookWatch(Base):
    """One watched person, organisation or repository, by its object id: that is never used again."""

    __tablename__ = "webhook_watches"
    __table_args__ = (UniqueConstraint("webhook_id", "target"), Index("ix_webhook_watches_target", "target"))

    id: Mapped[IntPk]
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(8))  # user | org | model | dataset | space | kernel
    target: Mapped[str] = mapped_column(String(24))
    name: Mapped[str] = mapped_column(String(200))


class WebhookDelivery(Base):
    """One event on its way to one webhook. `status`: pending, delivered or failed.

    `event_key` names the event (a repetition by hand gets a new one); `body` is exactly what is
    sent. Of the last attempt: `response_status`, the beginning of the answer, or `error`.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("webhook_id", "event_key"),
        Index("ix_webhook_deliveries_queue", "status", "webhook_id", "id"),
    )

    id: Mapped[IntPk]
    object_id: Mapped[str] = mapped_column(String(24), default=new_object_id, unique=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    event_key: Mapped[str] = mapped_column(String(100))
    event: Mapped[str] = mapped_column(String(60))  # scope.action, for example repo.content.update
    body: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[str] = mapped_column(String(10), default="pending")
    attempts: Mapped[int] = mapped_column(default=0)
    next_at: Mapped[datetime] = mapped_column(default=clock.now)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    attempted_at: Mapped[datetime | None]
    took_ms: Mapped[int | None]
    response_status: Mapped[int | None]
    response_excerpt: Mapped[str] = mapped_column(default="")
    error: Mapped[str] = mapped_column(default="")
