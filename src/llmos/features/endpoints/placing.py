"""Which machine has room for an engine, and which engines have to go for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from llmos.features.endpoints.errors import NoRunner, NotServable
from llmos.features.endpoints.models import Endpoint, Replica
from llmos.features.jobs.models import JobAttempt, Runner
from llmos.features.jobs.queries import is_online
from llmos.infra.i18n import lazy

GIB = 1024**3
LIVE = ("starting", "ready", "draining")


@dataclass(frozen=True, slots=True)
class Room:
    """What one machine has for engines, and what of it is in use."""

    name: str
    memory_bytes: int
    used_bytes: int
    slots: int
    used_slots: int
    replicas: tuple[Replica, ...]
    gpus: int = 0

    def fits(self, memory_bytes: int, without: tuple[Replica, ...] = ()) -> bool:
        freed = sum(replica.memory_bytes for replica in without)
        return (
            self.used_bytes - freed + memory_bytes <= self.memory_bytes
            and self.used_slots - len(without) < self.slots
        )


def find_victims(db: Session, endpoint: Endpoint) -> list[Replica]:
    """The engines that have to end so that one more of `endpoint` fits; none where there is room.

    The least recently called go first, and none that its endpoint wants to keep. Raises NoRunner,
    NotServable (with both numbers) for what is too large for every machine.
    """
    rooms = _list_rooms(db, endpoint, endpoint.spec.get("engine") or "transformers")
    if rooms and endpoint.gpus:
        rooms = _with_gpus(rooms, endpoint)
    if not rooms:
        raise NoRunner(
            lazy(
                "No machine that can serve %(model)s is connected: start a runner (`llmos runner start`) "
                "with the training side installed.",
                model=endpoint.shown_name,
            )
        )
    need = endpoint.memory_bytes
    largest = max(room.memory_bytes for room in rooms)
    if need > largest:
        raise NotServable(
            lazy(
                "%(model)s needs about %(need)s GiB of memory; the largest machine has %(has)s GiB for it.",
                model=endpoint.shown_name,
                need=f"{need / GIB:.1f}",
                has=f"{largest / GIB:.1f}",
            ),
            data={"need_bytes": need, "has_bytes": largest},
        )
    if any(room.fits(need) for room in rooms):
        return []
    choices = [list(found) for room in rooms if (found := _evict(room, need)) is not None]
    if not choices:
        raise NoRunner(
            lazy("All machines are busy with models that are to stay: try again later, or pause one.")
        )
    return min(choices, key=len)


def has_engine(db: Session, endpoint: Endpoint, engine: str) -> bool:
    """Whether a machine that may serve the endpoint offers that engine."""
    return bool(_list_rooms(db, endpoint, engine))


def _with_gpus(rooms: list[Room], endpoint: Endpoint) -> list[Room]:
    """The machines that have as many. Raises NoRunner naming both numbers."""
    most = max(room.gpus for room in rooms)
    if most < endpoint.gpus:
        raise NoRunner(
            lazy(
                "%(model)s asks for %(count)d GPUs, and the machines that can serve it have %(most)d at "
                "most: ask for fewer (0: processors only), or start a runner where nvidia-smi shows them.",
                model=endpoint.shown_name,
                count=endpoint.gpus,
                most=most,
            ),
            data={"field": "gpus"},
        )
    return [room for room in rooms if room.gpus >= endpoint.gpus]


def _evict(room: Room, need: int) -> tuple[Replica, ...] | None:
    """The least recently called of a machine, until there is room; None if that is not enough."""
    chosen: tuple[Replica, ...] = ()
    for replica in sorted(room.replicas, key=lambda one: one.last_called_at or one.created_at):
        chosen = (*chosen, replica)
        if room.fits(need, chosen):
            return chosen
    return None


def _list_rooms(db: Session, endpoint: Endpoint, wanted: str) -> list[Room]:
    scope = or_(
        Runner.scope == "instance",
        Runner.namespace_id == endpoint.namespace_id,
        Runner.repo_id == endpoint.repo_id,
    )
    statement = select(Runner).where(
        Runner.revoked_at.is_(None), Runner.is_draining.is_(False), Runner.is_trusted.is_(True), scope
    )
    held: dict[int, list[Replica]] = {}
    for replica, runner_id in db.execute(_holding()).unique():
        held.setdefault(runner_id or 0, []).append(replica)
    rooms = []
    for runner in db.scalars(statement.order_by(Runner.id)).unique():
        serving: dict[str, Any] = runner.about.get("serving") or {}
        if is_online(runner) and wanted in (serving.get("engines") or ()):
            # Those that no machine has taken yet may come to this one.
            rooms.append(_room(runner, serving, held.get(runner.id, []), held.get(0, [])))
    return rooms


def _holding() -> Any:
    return (
        select(Replica, JobAttempt.runner_id)
        .join(Endpoint, Endpoint.id == Replica.endpoint_id)
        .outerjoin(JobAttempt, (JobAttempt.job_id == Replica.job_id) & JobAttempt.ended_at.is_(None))
        .where(Replica.state.in_(LIVE))
        .order_by(Replica.id)
    )


def _room(runner: Runner, serving: dict[str, Any], here: list[Replica], coming: list[Replica]) -> Room:
    used = [one for one in (*here, *coming) if one.state != "draining"]
    return Room(
        runner.name,
        int(serving.get("memory_bytes") or 0),
        sum(one.memory_bytes for one in used),
        int(serving.get("slots") or 0),
        len(used),
        tuple(one for one in here if one.state != "draining" and not one.endpoint.min_replicas),
        int((runner.about.get("resources") or {}).get("gpus") or 0),
    )
