"""Tables of people, organisations and what happened to access."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from llmos.core import clock
from llmos.core.ids import new_object_id
from llmos.infra.db.base import Base, IntPk


class Role(StrEnum):
    """A member's role, weakest first. `contributor` writes only what they created."""

    READ = "read"
    CONTRIBUTOR = "contributor"
    WRITE = "write"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        return list(Role).index(self)


class Namespace(Base):
    """A name taken by a person or an organisation; unique without regard to case."""

    __tablename__ = "namespaces"

    id: Mapped[IntPk]
    object_id: Mapped[str] = mapped_column(String(24), default=new_object_id, unique=True)
    kind: Mapped[str] = mapped_column(String(8))  # user | org
    name: Mapped[str] = mapped_column(String(96))
    name_key: Mapped[str] = mapped_column(String(96), unique=True)
    fullname: Mapped[str] = mapped_column(String(200), default="")
    details: Mapped[str] = mapped_column(default="")
    website: Mapped[str] = mapped_column(String(300), default="")
    avatar_key: Mapped[str | None] = mapped_column(String(200))
    quota_bytes: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)

    user: Mapped[User | None] = relationship(back_populates="namespace", lazy="joined")
    organization: Mapped[Organization | None] = relationship(back_populates="namespace", lazy="joined")


class User(Base):
    """A person. `id` is the id of the namespace of the same name."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(ForeignKey("namespaces.id", ondelete="CASCADE"), primary_key=True)
    email: Mapped[str | None] = mapped_column(String(320))
    email_key: Mapped[str | None] = mapped_column(String(320), unique=True)
    email_verified_at: Mapped[datetime | None]
    password_hash: Mapped[str | None] = mapped_column(String(300))
    is_admin: Mapped[bool] = mapped_column(default=False)
    disabled_at: Mapped[datetime | None]
    # Kept by `moderation`, which knows why: `suspend` or `ban`, in force until then (null: for good),
    # or `warn` until they say that they have read it.
    sanction: Mapped[str | None] = mapped_column(String(8))
    sanctioned_until: Mapped[datetime | None]
    locale: Mapped[str | None] = mapped_column(String(8))
    theme: Mapped[str | None] = mapped_column(String(8))

    namespace: Mapped[Namespace] = relationship(back_populates="user", lazy="joined")

    @property
    def name(self) -> str:
        return self.namespace.name

    @property
    def fullname(self) -> str:
        return self.namespace.fullname or self.namespace.name

    def is_sanctioned(self, *kinds: str) -> bool:
        """Whether a sanction of one of these kinds is in force now."""
        if self.sanction not in kinds:
            return False
        return self.sanctioned_until is None or self.sanctioned_until > clock.now()


class Organization(Base):
    """A group of people that owns repositories. `id` is the id of its namespace."""

    __tablename__ = "organizations"

    id: Mapped[int] = mapped_column(ForeignKey("namespaces.id", ondelete="CASCADE"), primary_key=True)
    default_visibility: Mapped[str] = mapped_column(String(12), default="public")
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))

    namespace: Mapped[Namespace] = relationship(back_populates="organization", lazy="joined")

    @property
    def name(self) -> str:
        return self.namespace.name

    @property
    def fullname(self) -> str:
        return self.namespace.fullname or self.namespace.name


class Membership(Base):
    __tablename__ = "memberships"

    org_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    role: Mapped[str] = mapped_column(String(12))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)

    organization: Mapped[Organization] = relationship(lazy="joined")
    user: Mapped[User] = relationship(lazy="joined")


class Invitation(Base):
    """A link that lets its holder sign up (`org_id` null) or join an organisation."""

    __tablename__ = "invitations"

    id: Mapped[IntPk]
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    org_id: Mapped[int | None] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    invitee_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    email: Mapped[str | None] = mapped_column(String(320))
    role: Mapped[str | None] = mapped_column(String(12))
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]
    accepted_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))


class Follow(Base):
    """A person follows a person or an organisation."""

    __tablename__ = "follows"

    follower_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    namespace_id: Mapped[int] = mapped_column(
        ForeignKey("namespaces.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    created_at: Mapped[datetime] = mapped_column(default=clock.now)


class AuditEvent(Base):
    """Who changed whose access to what, and when. Rows are only ever added."""

    __tablename__ = "audit_events"
    __table_args__ = (Index("ix_audit_events_subject", "subject", "id"),)

    id: Mapped[IntPk]
    at: Mapped[datetime] = mapped_column(default=clock.now)
    actor_id: Mapped[int | None] = mapped_column(index=True)
    actor_name: Mapped[str] = mapped_column(String(96), default="")
    action: Mapped[str] = mapped_column(String(80))
    subject: Mapped[str] = mapped_column(String(220), default="")
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    ip: Mapped[str | None] = mapped_column(String(64))
