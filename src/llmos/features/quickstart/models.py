"""The one table: how far somebody's run through the whole loop is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from llmos.core import clock
from llmos.core.ids import new_object_id
from llmos.features.accounts.models import Namespace, User
from llmos.features.jobs.models import Job
from llmos.infra.db.base import Base, IntPk

TRAIN, FINETUNE = "train", "finetune"
RUNNING, DONE, FAILED = "running", "done", "failed"
# What is gone through, in order; the last one is the state of a run that is over.
STEPS: dict[str, tuple[str, ...]] = {
    TRAIN: ("train", "evaluate", "board", "serve", "discuss", "done"),
    FINETUNE: ("before", "train", "evaluate", "board", "serve", "discuss", "done"),
}


class QuickstartRun(Base):
    """A run of somebody from text to a served model. `step` is the one under way, or where it failed.

    `options`: languages, max_minutes, is_private. `found` holds what steps came to and no other table
    says: ids of evaluations, answers of the model before and after, times of each step.
    """

    __tablename__ = "quickstart_runs"
    __table_args__ = (
        Index("ix_quickstart_runs_state", "state"),
        # One at a time for a person, whoever presses how often.
        Index(
            "uq_quickstart_runs_open",
            "user_id",
            unique=True,
            sqlite_where=text("state = 'running'"),
            postgresql_where=text("state = 'running'"),
        ),
    )

    id: Mapped[IntPk]
    object_id: Mapped[str] = mapped_column(String(24), default=new_object_id, unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    namespace_id: Mapped[int] = mapped_column(ForeignKey("namespaces.id", ondelete="CASCADE"), index=True)
    path: Mapped[str] = mapped_column(String(10))
    state: Mapped[str] = mapped_column(String(10), default=RUNNING)
    step: Mapped[str] = mapped_column(String(10))
    error: Mapped[str] = mapped_column(Text, default="")
    model_name: Mapped[str] = mapped_column(String(200))
    options: Mapped[dict[str, Any]] = mapped_column(default=dict)
    found: Mapped[dict[str, Any]] = mapped_column(default=dict)
    train_job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    finished_at: Mapped[datetime | None]

    user: Mapped[User] = relationship(lazy="joined")
    namespace: Mapped[Namespace] = relationship()
    train_job: Mapped[Job | None] = relationship()

    @property
    def is_over(self) -> bool:
        return self.state != RUNNING
