"""What is used of endpoints: counted in memory, written down every few seconds."""

from __future__ import annotations

import asyncio
import bisect
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.features.endpoints.models import Endpoint, EndpointUsage, Replica
from llmos.features.endpoints.streams import CallStream, Frame
from llmos.infra.db.upsert import insert_missing
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import run_write

FLUSH_S = 2.0
# Upper edges of the classes that times are counted in, in milliseconds; the last class has none.
EDGES_MS = (5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 60_000)


@dataclass
class Count:
    calls: int = 0
    errors: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    latency_ms: float = 0.0
    first_ms: float = 0.0
    latency: list[int] = field(default_factory=lambda: [0] * (len(EDGES_MS) + 1))
    first: list[int] = field(default_factory=lambda: [0] * (len(EDGES_MS) + 1))


class Meter:
    """Counts for one process, and writes what it has counted soon after."""

    def __init__(self, rt: Runtime) -> None:
        self.rt = rt
        self._counts: dict[tuple[int, datetime], Count] = {}
        self._replicas: dict[int, datetime] = {}
        self._waiting: dict[int, int] = {}
        self._task: asyncio.Task[None] | None = None

    def count(self, replica_id: int, stream: CallStream, last: Frame | None) -> None:
        """A call that is over; `last` is its last frame, None if whoever asked has left."""
        served = stream.served
        if served is None:
            return
        at = clock.now()
        key = (served.endpoint_id, at.replace(minute=0, second=0, microsecond=0))
        found = self._counts.get(key)
        if found is None:
            found = self._counts[key] = Count()
        now = time.monotonic()
        usage = last or {}
        found.calls += 1
        found.errors += usage.get("event") == "error" and usage.get("status", 500) >= 500
        found.prompt_tokens += usage.get("prompt_tokens") or stream.prompt_tokens
        found.cached_tokens += usage.get("cached_tokens") or 0
        found.completion_tokens += usage.get("completion_tokens") or stream.completion_tokens
        took_ms = (now - stream.started_at) * 1000
        found.latency_ms += took_ms
        found.latency[bisect.bisect_left(EDGES_MS, took_ms)] += 1
        if stream.first_at:
            first_ms = (stream.first_at - stream.started_at) * 1000
            found.first_ms += first_ms
            found.first[bisect.bisect_left(EDGES_MS, first_ms)] += 1
        if replica_id:
            self._replicas[replica_id] = at
        self._write_soon()

    def tokens_today(self, endpoint_id: int) -> int:
        """What is counted and not yet written."""
        return sum(
            count.prompt_tokens + count.completion_tokens
            for (id_, _), count in self._counts.items()
            if id_ == endpoint_id
        )

    def note_waiting(self, endpoint_id: int, waiting: int) -> None:
        """How long the line is, for the controller to decide on more replicas."""
        self._waiting[endpoint_id] = waiting
        self._write_soon()

    def _write_soon(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write_later())

    async def _write_later(self) -> None:
        await asyncio.sleep(FLUSH_S)
        await self.flush()

    async def flush(self) -> None:
        counts, self._counts = self._counts, {}
        replicas, self._replicas = self._replicas, {}
        waiting, self._waiting = self._waiting, {}
        if counts or replicas or waiting:
            await run_write(self.rt, lambda db: _write(db, counts, replicas, waiting))

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
        await self.flush()


def _write(
    db: Session,
    counts: dict[tuple[int, datetime], Count],
    replicas: dict[int, datetime],
    waiting: dict[int, int],
) -> None:
    ids = {endpoint_id for endpoint_id, _ in counts} | set(waiting)
    known = set(db.scalars(select(Endpoint.id).where(Endpoint.id.in_(ids)).order_by(Endpoint.id)))
    for (endpoint_id, hour), count in sorted(counts.items()):
        if endpoint_id in known:
            _add(db, endpoint_id, hour, count)
    for replica_id, at in sorted(replicas.items()):
        db.execute(update(Replica).where(Replica.id == replica_id).values(last_called_at=at))
    for endpoint_id in sorted(known):
        values: dict[str, Any] = {"waiting": waiting[endpoint_id]} if endpoint_id in waiting else {}
        if any(id_ == endpoint_id for id_, _ in counts):
            values["last_called_at"] = clock.now()
        if values:
            db.execute(update(Endpoint).where(Endpoint.id == endpoint_id).values(**values))


def _add(db: Session, endpoint_id: int, hour: datetime, count: Count) -> None:
    empty = {"endpoint_id": endpoint_id, "hour": hour}
    zeros = {"calls": 0, "errors": 0, "prompt_tokens": 0, "cached_tokens": 0, "completion_tokens": 0}
    insert_missing(
        db,
        EndpointUsage,
        [empty | zeros | {"latency_ms": 0.0, "first_ms": 0.0, "latency": [], "first": []}],
    )
    row = db.scalars(
        select(EndpointUsage)
        .where(EndpointUsage.endpoint_id == endpoint_id, EndpointUsage.hour == hour)
        .with_for_update()
    ).one()
    for name in (*zeros, "latency_ms", "first_ms"):
        setattr(row, name, getattr(row, name) + getattr(count, name))
    row.latency, row.first = _sum(row.latency, count.latency), _sum(row.first, count.first)


def _sum(old: list[int], new: list[int]) -> list[int]:
    return [a + b for a, b in zip(old, new, strict=True)] if old else list(new)


def quantile_ms(classes: list[int], share: float) -> float:
    """The time below which `share` of the calls took, to the edge of its class; 0 without calls."""
    total = sum(classes)
    if not total:
        return 0.0
    seen = 0
    for number, count in enumerate(classes):
        seen += count
        if seen >= share * total:
            return float(EDGES_MS[min(number, len(EDGES_MS) - 1)])
    return float(EDGES_MS[-1])


def tokens_since(db: Session, endpoint_id: int, span: timedelta = timedelta(days=1)) -> int:
    """Tokens read and written for an endpoint in the last day, as far as it is written down."""
    rows = db.execute(
        select(EndpointUsage.prompt_tokens, EndpointUsage.completion_tokens).where(
            EndpointUsage.endpoint_id == endpoint_id, EndpointUsage.hour > clock.now() - span
        )
    )
    return sum(row.prompt_tokens + row.completion_tokens for row in rows)
