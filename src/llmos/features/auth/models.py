"""Tables of credentials. Secrets are stored as SHA-256 of 256-bit random values, passwords as Argon2id."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from llmos.core import clock
from llmos.core.ids import new_object_id
from llmos.features.accounts.models import User
from llmos.infra.db.base import Base, IntPk


class AccessToken(Base):
    """`role` is read, write or fineGrained; `scopes` is `[{"target": …, "verbs": […]}]`.

    `client_id` and the refresh fields belong to tokens issued by OAuth; `oauth_scopes` is what the
    person allowed an app, and None for every token that speaks for all of the account.
    """

    __tablename__ = "access_tokens"

    id: Mapped[IntPk]
    object_id: Mapped[str] = mapped_column(String(24), default=new_object_id, unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(120))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    token_hint: Mapped[str] = mapped_column(String(16))  # "hf_…a1B2"
    role: Mapped[str] = mapped_column(String(16))
    scopes: Mapped[list[Any]] = mapped_column(default=list)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    client_id: Mapped[str | None] = mapped_column(String(100))
    refresh_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    refresh_expires_at: Mapped[datetime | None]
    refresh_used_at: Mapped[datetime | None]
    oauth_scopes: Mapped[str | None] = mapped_column(String(300))

    user: Mapped[User] = relationship(lazy="joined")


class BrowserSession(Base):
    __tablename__ = "browser_sessions"

    id: Mapped[IntPk]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_agent: Mapped[str] = mapped_column(String(300), default="")
    ip: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    last_seen_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime]

    user: Mapped[User] = relationship(lazy="joined")


class DeviceGrant(Base):
    """A device sign-in under way (RFC 8628): `status` is pending, approved, denied or used."""

    __tablename__ = "device_grants"

    id: Mapped[IntPk]
    device_code_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_code: Mapped[str] = mapped_column(String(12), unique=True)
    client_id: Mapped[str] = mapped_column(String(100))
    status: Mapped[str] = mapped_column(String(10), default="pending")
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    user_agent: Mapped[str] = mapped_column(String(300), default="")
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime]
    last_polled_at: Mapped[datetime | None]


class OneTimeLink(Base):
    """A secret link used once. `purpose`: claim_admin, password_reset or verify_email."""

    __tablename__ = "one_time_links"

    id: Mapped[IntPk]
    purpose: Mapped[str] = mapped_column(String(24))
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class OAuthApp(Base):
    """A site or program that people may let in; its owner registers it. Public ones have no secret."""

    __tablename__ = "oauth_apps"

    id: Mapped[IntPk]
    client_id: Mapped[str] = mapped_column(String(64), unique=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(80))
    homepage: Mapped[str] = mapped_column(String(300), default="")
    redirect_uris: Mapped[list[Any]] = mapped_column(default=list)
    secret_hash: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)

    owner: Mapped[User] = relationship(lazy="joined")

    @property
    def is_confidential(self) -> bool:
        return self.secret_hash is not None


class OAuthGrant(Base):
    """That a person let an app in. `targets` are repositories the app created (`contribute-repos`)."""

    __tablename__ = "oauth_grants"

    id: Mapped[IntPk]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    app_id: Mapped[int] = mapped_column(ForeignKey("oauth_apps.id", ondelete="CASCADE"), index=True)
    scopes: Mapped[list[Any]] = mapped_column(default=list)
    targets: Mapped[list[Any]] = mapped_column(default=list)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    changed_at: Mapped[datetime] = mapped_column(default=clock.now)

    app: Mapped[OAuthApp] = relationship(lazy="joined")

    __table_args__ = (UniqueConstraint("user_id", "app_id"),)


class OAuthCode(Base):
    """An authorization code (RFC 6749, section 4.1): traded once, within minutes."""

    __tablename__ = "oauth_codes"

    id: Mapped[IntPk]
    code_hash: Mapped[str] = mapped_column(String(64), unique=True)
    grant_id: Mapped[int] = mapped_column(ForeignKey("oauth_grants.id", ondelete="CASCADE"), index=True)
    redirect_uri: Mapped[str] = mapped_column(String(2000))
    is_uri_named: Mapped[bool] = mapped_column(default=True)  # the request named it, so the trade must too
    scopes: Mapped[list[Any]] = mapped_column(default=list)
    challenge: Mapped[str | None] = mapped_column(String(43))
    nonce: Mapped[str | None] = mapped_column(String(255))
    expires_at: Mapped[datetime]
    token_name: Mapped[str | None] = mapped_column(String(120))  # of the tokens it was traded for

    grant: Mapped[OAuthGrant] = relationship(lazy="joined")
