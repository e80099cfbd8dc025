"""Tables of jobs, their attempts, what they said, schedules and runners."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from llmos.core import clock
from llmos.core.ids import new_object_id
from llmos.features.accounts.models import Namespace, User
from llmos.features.repos.models import Repo
from llmos.infra.db.base import Base, IntPk


class Runner(Base):
    """A machine that asks for jobs with a token of its own.

    `scope` is instance, organization, person or repository; `namespace_id` or `repo_id` names which.
    What it says of itself (`about`, a `wire.RunnerHello`) is from its last call.
    """

    __tablename__ = "runners"

    id: Mapped[IntPk]
    object_id: Mapped[str] = mapped_column(String(24), default=new_object_id, unique=True)
    name: Mapped[str] = mapped_column(String(80))
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    scope: Mapped[str] = mapped_column(String(12))
    namespace_id: Mapped[int | None] = mapped_column(ForeignKey("namespaces.id", ondelete="CASCADE"))
    repo_id: Mapped[int | None] = mapped_column(ForeignKey("repos.id", ondelete="CASCADE"))
    is_trusted: Mapped[bool] = mapped_column(default=False)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    token_hint: Mapped[str] = mapped_column(String(16))
    is_draining: Mapped[bool] = mapped_column(default=False)
    about: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    last_seen_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    # Time given to jobs of others.
    credit_s: Mapped[float] = mapped_column(default=0.0)
    job_count: Mapped[int] = mapped_column(default=0)

    owner: Mapped[User] = relationship(lazy="joined")
    namespace: Mapped[Namespace | None] = relationship(lazy="joined")
    repo: Mapped[Repo | None] = relationship(lazy="joined")


class Schedule(Base):
    """Makes a job of `spec` (a submission as the Hub API takes it) at each time of `cron`."""

    __tablename__ = "job_schedules"
    __table_args__ = (Index("ix_job_schedules_due", "is_suspended", "next_at"),)

    id: Mapped[IntPk]
    object_id: Mapped[str] = mapped_column(String(24), default=new_object_id, unique=True)
    namespace_id: Mapped[int] = mapped_column(ForeignKey("namespaces.id", ondelete="CASCADE"), index=True)
    creator_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    spec: Mapped[dict[str, Any]]
    sealed_secrets: Mapped[str | None] = mapped_column(Text)
    cron: Mapped[str] = mapped_column(String(200))
    is_suspended: Mapped[bool] = mapped_column(default=False)
    may_overlap: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    next_at: Mapped[datetime | None]
    last_at: Mapped[datetime | None]
    last_job_id: Mapped[str | None] = mapped_column(String(24))
    last_error: Mapped[str | None] = mapped_column(String(500))

    namespace: Mapped[Namespace] = relationship(lazy="joined")
    creator: Mapped[User] = relationship(lazy="joined")


class Job(Base):
    """A job. `spec` is what was asked for (see `requests.JobRequest`), without its secrets.

    `state` is one of `wire.jobs.JobState`; `attempt` is the number of the present or last attempt.
    What decides who may take it is kept in columns of its own.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_queue", "state", "priority", "available_at"),
        Index("ix_jobs_namespace_state", "namespace_id", "state"),
        Index("ix_jobs_namespace_id", "namespace_id", "id"),
    )

    id: Mapped[IntPk]
    object_id: Mapped[str] = mapped_column(String(24), default=new_object_id, unique=True)
    namespace_id: Mapped[int] = mapped_column(ForeignKey("namespaces.id", ondelete="CASCADE"))
    creator_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    schedule_id: Mapped[int | None] = mapped_column(ForeignKey("job_schedules.id", ondelete="SET NULL"))
    copied_from: Mapped[str | None] = mapped_column(String(24))
    kind: Mapped[str] = mapped_column(String(8))
    title: Mapped[str] = mapped_column(String(200), default="")
    spec: Mapped[dict[str, Any]]
    sealed_secrets: Mapped[str | None] = mapped_column(Text)
    labels: Mapped[dict[str, Any]] = mapped_column(default=dict)
    visibility: Mapped[str] = mapped_column(String(8), default="private")

    state: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str] = mapped_column(Text, default="")
    exit_code: Mapped[int | None]
    priority: Mapped[int] = mapped_column(default=0)
    available_at: Mapped[datetime] = mapped_column(default=clock.now)
    cores: Mapped[float] = mapped_column(default=0.0)
    memory_bytes: Mapped[int] = mapped_column(default=0)
    gpus: Mapped[int] = mapped_column(default=0)
    gpu_memory_bytes: Mapped[int] = mapped_column(default=0)
    disk_bytes: Mapped[int] = mapped_column(default=0)
    needs_container: Mapped[bool] = mapped_column(default=False)
    # May go to machines nobody vouches for: a recipe, public inputs, no secrets or variables.
    is_open: Mapped[bool] = mapped_column(default=False)
    quorum: Mapped[int] = mapped_column(default=1)
    timeout_s: Mapped[float] = mapped_column(default=1800.0)
    max_attempts: Mapped[int] = mapped_column(default=1)

    attempt: Mapped[int] = mapped_column(default=0)
    failed_count: Mapped[int] = mapped_column(default=0)
    lost_count: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None] = mapped_column(index=True)
    cancel_requested_at: Mapped[datetime | None]

    phase: Mapped[str] = mapped_column(String(120), default="")
    done: Mapped[float] = mapped_column(default=0.0)
    total: Mapped[float] = mapped_column(default=0.0)
    unit: Mapped[str] = mapped_column(String(40), default="")
    sample: Mapped[dict[str, Any]] = mapped_column(default=dict)
    peak_memory_bytes: Mapped[int] = mapped_column(default=0)
    energy_wh: Mapped[float] = mapped_column(default=0.0)
    log_bytes: Mapped[int] = mapped_column(default=0)
    resume_from: Mapped[dict[str, Any] | None]
    results: Mapped[list[Any]] = mapped_column(default=list)

    namespace: Mapped[Namespace] = relationship(lazy="joined")
    creator: Mapped[User] = relationship()

    @property
    def is_over(self) -> bool:
        return self.finished_at is not None


class JobNeed(Base):
    """`job_id` waits until `needs_id` has succeeded."""

    __tablename__ = "job_needs"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    needs_id: Mapped[int] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class JobAttempt(Base):
    """One try. Open while `ended_at` is null: then its lease is the only one that counts.

    `outcome` is a proposed state, or `lost` (the lease ran out), or empty while it is open.
    `token_id` is the job's own access token, which goes when the attempt ends.
    """

    __tablename__ = "job_attempts"
    __table_args__ = (
        UniqueConstraint("job_id", "number"),
        Index("ix_job_attempts_open", "ended_at", "lease_expires_at"),
    )

    id: Mapped[IntPk]
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    number: Mapped[int]
    runner_id: Mapped[int | None] = mapped_column(ForeignKey("runners.id", ondelete="SET NULL"), index=True)
    runner_name: Mapped[str] = mapped_column(String(80))
    runner_owner_id: Mapped[int]
    is_trusted: Mapped[bool] = mapped_column(default=True)
    lease_hash: Mapped[str] = mapped_column(String(64), unique=True)
    lease_expires_at: Mapped[datetime]
    token_id: Mapped[int | None] = mapped_column(ForeignKey("access_tokens.id", ondelete="SET NULL"))
    started_at: Mapped[datetime] = mapped_column(default=clock.now)
    running_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str] = mapped_column(String(10), default="")
    exit_code: Mapped[int | None]
    reason: Mapped[str] = mapped_column(Text, default="")
    accepted_seq: Mapped[int] = mapped_column(default=-1)
    energy_wh: Mapped[float] = mapped_column(default=0.0)
    results: Mapped[list[Any]] = mapped_column(default=list)


class JobLog(Base):
    """The log lines of one batch: `lines` is JSON, `[[stream, text], …]`, received at `at`.

    Rows of a job are in order of `id`: an attempt begins after the one before it has ended.
    """

    __tablename__ = "job_logs"
    __table_args__ = (Index("ix_job_logs_job", "job_id", "id"),)

    id: Mapped[IntPk]
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    attempt: Mapped[int]
    at: Mapped[datetime] = mapped_column(default=clock.now)
    line_count: Mapped[int]
    lines: Mapped[str] = mapped_column(Text)


class JobMetric(Base):
    """The points of one curve in one batch: `points` is JSON, `[[step, value], …]`, null: not finite."""

    __tablename__ = "job_metrics"
    __table_args__ = (Index("ix_job_metrics_job", "job_id", "id"),)

    id: Mapped[IntPk]
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    attempt: Mapped[int]
    name: Mapped[str] = mapped_column(String(120))
    points: Mapped[str] = mapped_column(Text)


class RunnerCredit(Base):
    """Machine time a person has given to jobs of others; stays when the runner goes."""

    __tablename__ = "runner_credits"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    seconds: Mapped[float] = mapped_column(default=0.0)
    job_count: Mapped[int] = mapped_column(default=0)


class JobTurn(Base):
    """When an owner was last served, so that a long queue of one never holds up the others."""

    __tablename__ = "job_turns"

    namespace_id: Mapped[int] = mapped_column(
        ForeignKey("namespaces.id", ondelete="CASCADE"), primary_key=True
    )
    served_at: Mapped[datetime]
