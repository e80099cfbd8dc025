"""Tables of moderation: what was reported, what was done about it, and who may write how much."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from llmos.core import clock
from llmos.features.accounts.models import User
from llmos.infra.db.base import Base, IntPk

OPEN: Final = "open"
UPHELD: Final = "upheld"
REJECTED: Final = "rejected"

WARN: Final = "warn"
SUSPEND: Final = "suspend"
BAN: Final = "ban"


class Case(Base):
    """All reports of one thing since it was last judged.

    `subject_kind` is comment, thread, repo, user or collection and `subject_id` the row's id.
    `score` is the weight of its reports, `outcome` upheld or rejected once it is judged.
    `repo_id` is the repository the thing belongs to, whose maintainers may judge it, too.
    """

    __tablename__ = "moderation_cases"
    __table_args__ = (
        Index("ix_moderation_cases_subject", "subject_kind", "subject_id"),
        Index("ix_moderation_cases_state", "state", "score", "id"),
        Index("ix_moderation_cases_owner", "owner_id"),
    )

    id: Mapped[IntPk]
    subject_kind: Mapped[str] = mapped_column(String(12))
    subject_id: Mapped[int]
    repo_id: Mapped[int | None] = mapped_column(ForeignKey("repos.id", ondelete="SET NULL"), index=True)
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    # What was reported, kept as it was: the author may change or delete it meanwhile.
    title: Mapped[str] = mapped_column(String(300))
    excerpt: Mapped[str] = mapped_column(Text, default="")
    href: Mapped[str] = mapped_column(String(1000))
    score: Mapped[float] = mapped_column(default=0.0)
    state: Mapped[str] = mapped_column(String(8), default=OPEN)
    outcome: Mapped[str | None] = mapped_column(String(8))
    opened_at: Mapped[datetime] = mapped_column(default=clock.now)
    hidden_at: Mapped[datetime | None]  # hidden by the weight of its reports, before anyone judged
    judged_at: Mapped[datetime | None]
    judged_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    note: Mapped[str] = mapped_column(String(1000), default="")
    reminded_at: Mapped[datetime | None]

    owner: Mapped[User | None] = relationship(foreign_keys=[owner_id])
    judged_by: Mapped[User | None] = relationship(foreign_keys=[judged_by_id])


class Flag(Base):
    """One person's report. Only moderators ever see who reported."""

    __tablename__ = "moderation_flags"
    __table_args__ = (UniqueConstraint("case_id", "reporter_id"),)

    id: Mapped[IntPk]
    case_id: Mapped[int] = mapped_column(ForeignKey("moderation_cases.id", ondelete="CASCADE"))
    reporter_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    reason: Mapped[str] = mapped_column(String(16))
    note: Mapped[str] = mapped_column(String(1000), default="")
    weight: Mapped[float] = mapped_column(default=0.0)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)

    reporter: Mapped[User | None] = relationship(lazy="joined")


class Measure(Base):
    """Something a moderator did. `data` holds what its undoing needs; `undone_at` that it was undone."""

    __tablename__ = "moderation_measures"
    __table_args__ = (Index("ix_moderation_measures_subject", "subject_kind", "subject_id"),)

    id: Mapped[IntPk]
    case_id: Mapped[int | None] = mapped_column(
        ForeignKey("moderation_cases.id", ondelete="SET NULL"), index=True
    )
    actor_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    verb: Mapped[str] = mapped_column(String(16))
    subject_kind: Mapped[str] = mapped_column(String(12))
    subject_id: Mapped[int]
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    reason: Mapped[str] = mapped_column(String(1000), default="")
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=clock.now, index=True)
    undone_at: Mapped[datetime | None]
    undone_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))

    actor: Mapped[User | None] = relationship(foreign_keys=[actor_id], lazy="joined")
    user: Mapped[User | None] = relationship(foreign_keys=[user_id], lazy="joined")


class Sanction(Base):
    """A warning, suspension or ban of a person, with its end; in force until then or until lifted.

    A suspended person reads and appeals; a banned one's tokens are refused as well.
    """

    __tablename__ = "moderation_sanctions"
    __table_args__ = (Index("ix_moderation_sanctions_user", "user_id", "id"),)

    id: Mapped[IntPk]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(8))
    reason: Mapped[str] = mapped_column(String(1000))
    measure_id: Mapped[int | None] = mapped_column(
        ForeignKey("moderation_measures.id", ondelete="SET NULL"), index=True
    )
    imposed_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    imposed_at: Mapped[datetime] = mapped_column(default=clock.now)
    ends_at: Mapped[datetime | None]
    lifted_at: Mapped[datetime | None]
    seen_at: Mapped[datetime | None]  # when the person was shown a warning

    user: Mapped[User] = relationship(foreign_keys=[user_id], lazy="joined")


class Appeal(Base):
    """A person asks, once a measure, to judge it again; another moderator does if there is one."""

    __tablename__ = "moderation_appeals"
    __table_args__ = (Index("ix_moderation_appeals_state", "state", "id"),)

    id: Mapped[IntPk]
    measure_id: Mapped[int] = mapped_column(
        ForeignKey("moderation_measures.id", ondelete="CASCADE"), unique=True
    )
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    text: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(8), default=OPEN)  # open, upheld (undone), rejected
    answer: Mapped[str] = mapped_column(String(2000), default="")
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    answered_at: Mapped[datetime | None]
    answered_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))

    measure: Mapped[Measure] = relationship(lazy="joined")
    user: Mapped[User] = relationship(foreign_keys=[user_id], lazy="joined")


class RepoBlock(Base):
    """A person may not write in the discussions of a repository."""

    __tablename__ = "repo_blocks"

    repo_id: Mapped[int] = mapped_column(ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    reason: Mapped[str] = mapped_column(String(300), default="")
    blocked_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    ends_at: Mapped[datetime | None]

    user: Mapped[User] = relationship(foreign_keys=[user_id], lazy="joined")


class Standing(Base):
    """How much a person is trusted: level 0 to 4, earned, or set by an administrator (`is_fixed`).

    `upheld_flags` and `rejected_flags` count the person's own reports by their outcome.
    """

    __tablename__ = "standings"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    level: Mapped[int] = mapped_column(default=0)
    is_fixed: Mapped[bool] = mapped_column(default=False)
    is_moderator: Mapped[bool] = mapped_column(default=False)
    upheld_flags: Mapped[int] = mapped_column(default=0)
    rejected_flags: Mapped[int] = mapped_column(default=0)
    updated_at: Mapped[datetime] = mapped_column(default=clock.now)
