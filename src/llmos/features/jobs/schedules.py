"""Jobs at times: make, change, suspend and run schedules."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, LlmosError, TooManyRequests
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace, User
from llmos.features.auth.credentials import actor_for_user
from llmos.features.jobs.cron import parse_cron
from llmos.features.jobs.models import Job, Schedule
from llmos.features.jobs.places import resolve_inputs
from llmos.features.jobs.policy import check_run_jobs
from llmos.features.jobs.requests import JobRequest
from llmos.features.jobs.rules import FINAL
from llmos.features.jobs.service import open_secrets, seal_secrets, stored_request, submit
from llmos.features.repos.lifecycle import looking
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime

log = logging.getLogger("llmos.jobs")

MAX_SCHEDULES = 100
MAX_CRON_CHARS = 200


def next_time(cron: str, after: datetime | None = None) -> datetime:
    """When a schedule is due next. Raises BadRequest."""
    if len(cron) > MAX_CRON_CHARS:
        raise BadRequest(lazy("The schedule is too long."), data={"field": "schedule"})
    return parse_cron(cron).next_after(after or clock.now())


def create_schedule(
    db: Session,
    rt: Runtime,
    actor: Actor,
    namespace: Namespace,
    request: JobRequest,
    cron: str,
    *,
    is_suspended: bool = False,
    may_overlap: bool = False,
) -> Schedule:
    """A schedule of the actor, whose rights its jobs have when they start.

    Raises Forbidden, BadRequest for a schedule that is not understood, and what resolving the
    inputs raises.
    """
    actor.check_not_suspended()
    with looking(rt, db) as look:
        check_run_jobs(actor, namespace)
        resolve_inputs(look, rt, actor, request.volumes)
        count = look.scalar(select(func.count()).where(Schedule.namespace_id == namespace.id)) or 0
    if count >= MAX_SCHEDULES:
        raise TooManyRequests(
            lazy("%(name)s has %(count)s schedules: delete one first.", name=namespace.name, count=count)
        )
    schedule = Schedule(
        namespace_id=namespace.id,
        namespace=namespace,
        creator_id=actor.require_user(),
        spec=request.stored(),
        sealed_secrets=seal_secrets(rt, request.secrets),
        cron=cron.strip(),
        is_suspended=is_suspended,
        may_overlap=may_overlap,
        next_at=next_time(cron),
    )
    db.add(schedule)
    db.flush()
    audit.record(db, actor, "schedule.create", f"{namespace.name}/{schedule.object_id}", cron=cron)
    return schedule


def delete_schedule(db: Session, actor: Actor, schedule: Schedule) -> None:
    """Jobs it has started go on. Raises Forbidden."""
    check_run_jobs(actor, schedule.namespace)
    audit.record(db, actor, "schedule.delete", f"{schedule.namespace.name}/{schedule.object_id}")
    db.delete(schedule)


def change_schedule(
    db: Session,
    actor: Actor,
    schedule: Schedule,
    *,
    cron: str | None = None,
    is_suspended: bool | None = None,
    labels: Mapping[str, str] | None = None,
) -> None:
    """Change what is given. Raises Forbidden, BadRequest."""
    check_run_jobs(actor, schedule.namespace)
    if cron is not None:
        schedule.next_at, schedule.cron = next_time(cron), cron.strip()
    if is_suspended is not None:
        schedule.is_suspended = is_suspended
        # What fell due meanwhile is not made up for.
        schedule.next_at = next_time(schedule.cron)
    if labels is not None:
        schedule.spec = schedule.spec | {"labels": dict(labels)}


def run_now(db: Session, rt: Runtime, actor: Actor, schedule: Schedule) -> Job:
    """One job of it at once, beside its times. Raises what `submit` raises."""
    namespace, schedule_id = schedule.namespace, schedule.id
    request = stored_request(schedule.spec, open_secrets(rt, schedule.sealed_secrets))
    job = submit(db, rt, actor, namespace, request, schedule_id=schedule_id)
    schedule.last_at, schedule.last_job_id, schedule.last_error = clock.now(), job.object_id, None
    return job


def run_due(rt: Runtime) -> int:
    """Start the jobs that are due, each in a transaction of its own; return how many started."""
    with rt.database.reading() as db:
        ids = db.scalars(
            select(Schedule.id).where(Schedule.is_suspended.is_(False), Schedule.next_at <= clock.now())
        ).all()
    return sum(_run_one(rt, schedule_id) for schedule_id in ids)


def _run_one(rt: Runtime, schedule_id: int) -> int:
    try:
        with rt.database.writing() as db:
            schedule = _take_turn(db, schedule_id)
            if schedule is None:
                return 0
            user = db.get(User, schedule.creator_id)
            if user is None or user.disabled_at is not None:
                schedule.is_suspended = True
                return 0
            run_now(db, rt, actor_for_user(db, user), schedule)
            return 1
    except LlmosError as error:
        log.warning("schedule %s did not start its job: %s", schedule_id, error.message)
        with rt.database.writing() as db:
            schedule = _take_turn(db, schedule_id)
            if schedule is not None:
                schedule.last_error = error.message[:500]
        return 0


def _take_turn(db: Session, schedule_id: int) -> Schedule | None:
    """The schedule, set to its next time; None when it is not due, or its last job still runs."""
    statement = select(Schedule).where(Schedule.id == schedule_id).with_for_update(of=Schedule)
    schedule = db.scalars(statement).unique().one_or_none()
    if schedule is None or schedule.is_suspended or not _is_due(schedule):
        return None
    schedule.next_at = next_time(schedule.cron)
    if schedule.may_overlap:
        return schedule
    active = select(Job.id).where(Job.schedule_id == schedule.id, Job.state.not_in(FINAL)).limit(1)
    return None if db.scalar(active) is not None else schedule


def _is_due(schedule: Schedule) -> bool:
    return schedule.next_at is not None and schedule.next_at <= clock.now()


def labels_of(spec: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = spec.get("labels") or {}
    return found
