"""Tables of endpoints, their replicas and what was used of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from llmos.core import clock
from llmos.core.ids import new_object_id
from llmos.features.accounts.models import Namespace, User
from llmos.features.jobs.models import Job
from llmos.features.repos.models import Repo
from llmos.infra.db.base import Base, IntPk


class Endpoint(Base):
    """A model that answers, and for whom.

    One with a `name` was made by somebody; one without was made by a first call (`serve_on_demand`)
    and is for whoever may read the model. `oid` is the commit that should be served: `revision` names
    a branch that is followed, or the commit itself if `is_pinned`. An upstream one has no repository
    but `upstream_url`.
    """

    __tablename__ = "endpoints"
    __table_args__ = (Index("ix_endpoints_repo_state", "repo_id", "state"),)

    id: Mapped[IntPk]
    object_id: Mapped[str] = mapped_column(String(24), default=new_object_id, unique=True)
    name: Mapped[str | None] = mapped_column(String(96))
    name_key: Mapped[str | None] = mapped_column(String(96), unique=True)
    namespace_id: Mapped[int] = mapped_column(ForeignKey("namespaces.id", ondelete="CASCADE"), index=True)
    creator_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    repo_id: Mapped[int | None] = mapped_column(ForeignKey("repos.id", ondelete="CASCADE"))
    revision: Mapped[str] = mapped_column(String(200), default="main")
    is_pinned: Mapped[bool] = mapped_column(default=False)
    oid: Mapped[str] = mapped_column(String(40), default="")

    engine: Mapped[str] = mapped_column(String(20), default="")  # "": chosen by the model
    task: Mapped[str] = mapped_column(String(40), default="text-generation")
    spec: Mapped[dict[str, Any]] = mapped_column(default=dict)
    memory_bytes: Mapped[int] = mapped_column(default=0)
    gpus: Mapped[int] = mapped_column(default=0)
    min_replicas: Mapped[int] = mapped_column(default=0)
    max_replicas: Mapped[int] = mapped_column(default=1)
    idle_s: Mapped[float] = mapped_column(default=0.0)  # 0: as the instance says

    access: Mapped[str] = mapped_column(String(8), default="public")  # public|members|named
    allowed: Mapped[list[Any]] = mapped_column(default=list)  # names of people and organisations
    rate_per_minute: Mapped[int] = mapped_column(default=0)  # of each caller; 0: no limit
    tokens_per_day: Mapped[int] = mapped_column(default=0)  # of all together; 0: no limit

    upstream_url: Mapped[str] = mapped_column(String(500), default="")
    upstream_model: Mapped[str] = mapped_column(String(200), default="")
    sealed_key: Mapped[str | None] = mapped_column(Text)

    state: Mapped[str] = mapped_column(String(8), default="active")  # active|paused
    problem: Mapped[str] = mapped_column(Text, default="")  # why the last replica did not start
    failed_count: Mapped[int] = mapped_column(default=0)
    failed_at: Mapped[datetime | None]
    waiting: Mapped[int] = mapped_column(default=0)  # calls in line when somebody looked last
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    last_called_at: Mapped[datetime | None]

    namespace: Mapped[Namespace] = relationship(lazy="joined")
    creator: Mapped[User] = relationship()
    repo: Mapped[Repo | None] = relationship(lazy="joined")

    @property
    def is_upstream(self) -> bool:
        return bool(self.upstream_url)

    @property
    def shown_name(self) -> str:
        """Its own name, or that of its model."""
        return self.name or (self.repo.repo_name if self.repo else self.object_id)


class Replica(Base):
    """One engine of an endpoint, at one commit.

    `state` is starting, ready, draining or ended; `stage` what it does before it is ready. `holder` is
    the web process its channel leads to, empty while there is none.
    """

    __tablename__ = "endpoint_replicas"
    __table_args__ = (Index("ix_endpoint_replicas_endpoint_state", "endpoint_id", "state"),)

    id: Mapped[IntPk]
    endpoint_id: Mapped[int] = mapped_column(ForeignKey("endpoints.id", ondelete="CASCADE"))
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), index=True)
    oid: Mapped[str] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(String(8), default="starting")
    stage: Mapped[str] = mapped_column(String(20), default="")
    reason: Mapped[str] = mapped_column(Text, default="")
    memory_bytes: Mapped[int] = mapped_column(default=0)
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    holder: Mapped[str] = mapped_column(String(80), default="")
    runner_name: Mapped[str] = mapped_column(String(80), default="")
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    ready_at: Mapped[datetime | None]
    away_at: Mapped[datetime | None]  # since when nobody holds its channel
    draining_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    last_called_at: Mapped[datetime | None]

    endpoint: Mapped[Endpoint] = relationship()
    job: Mapped[Job | None] = relationship()


class EndpointUsage(Base):
    """What was asked of an endpoint in one hour. Times are in milliseconds.

    `latency` and `first` count calls by how long they took: see `usage.EDGES_MS`.
    """

    __tablename__ = "endpoint_usage"
    __table_args__ = (UniqueConstraint("endpoint_id", "hour"),)

    id: Mapped[IntPk]
    endpoint_id: Mapped[int] = mapped_column(ForeignKey("endpoints.id", ondelete="CASCADE"))
    hour: Mapped[datetime]
    calls: Mapped[int] = mapped_column(default=0)
    errors: Mapped[int] = mapped_column(default=0)
    prompt_tokens: Mapped[int] = mapped_column(default=0)
    cached_tokens: Mapped[int] = mapped_column(default=0)
    completion_tokens: Mapped[int] = mapped_column(default=0)
    latency_ms: Mapped[float] = mapped_column(default=0.0)
    first_ms: Mapped[float] = mapped_column(default=0.0)
    latency: Mapped[list[Any]] = mapped_column(default=list)
    first: Mapped[list[Any]] = mapped_column(default=list)
