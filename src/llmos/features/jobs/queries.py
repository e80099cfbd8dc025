"""Everything read about jobs, schedules and runners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, Select, and_, or_, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import NotFound
from llmos.core.pagination import Page, check_limit, decode_cursor, make_page
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.jobs.models import Job, JobAttempt, JobNeed, Runner, RunnerCredit, Schedule
from llmos.features.jobs.policy import can_see, can_see_jobs
from llmos.features.jobs.runners import ONLINE
from llmos.infra.i18n import lazy

PAGE_SIZE = 50
MAX_PAGE_SIZE = 500
# The Hub's stages and the states they stand for.
STAGES: dict[str, tuple[str, ...]] = {
    "SCHEDULING": ("waiting", "queued", "preparing"),
    "RUNNING": ("running",),
    "COMPLETED": ("succeeded",),
    "ERROR": ("failed", "timed_out"),
    "CANCELED": ("canceled",),
    "DELETED": (),
}


def stage_of(state: str) -> str:
    """The Hub's word for a state."""
    return next(stage for stage, states in STAGES.items() if state in states)


def list_jobs(
    db: Session,
    actor: Actor,
    namespace: Namespace | None = None,
    *,
    states: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    kind: str | None = None,
    objective: str | None = None,
    cursor: str | None = None,
    limit: int | None = None,
) -> Page[Job]:
    """Jobs the actor may see, newest first; all labels have to match, `objective` is that of a recipe.

    BadRequest for a forged cursor.
    """
    size = check_limit(limit, default=PAGE_SIZE, maximum=MAX_PAGE_SIZE)
    statement = select(Job).where(_visible(actor, namespace)).order_by(Job.id.desc()).limit(size + 1)
    if namespace is not None:
        statement = statement.where(Job.namespace_id == namespace.id)
    if states is not None:
        statement = statement.where(Job.state.in_(states))
    if kind is not None:
        statement = statement.where(Job.kind == kind)
    if objective is not None:
        statement = statement.where(Job.spec["recipe"]["objective"].as_string() == objective)
    for key, value in (labels or {}).items():
        statement = statement.where(Job.labels[key].as_string() == value)
    after = decode_cursor(cursor, 1)
    if after is not None:
        statement = statement.where(Job.id < after[0])
    return make_page(list(db.scalars(statement).unique()), size, lambda job: [job.id])


def _visible(actor: Actor, namespace: Namespace | None) -> ColumnElement[bool]:
    if namespace is not None and can_see_jobs(actor, namespace):
        return Job.namespace_id == namespace.id
    is_public = Job.visibility == "public"
    own = actor.token_role in (None, "read", "write") and actor.user_id is not None
    if namespace is None and own:
        mine = Job.namespace_id.in_([actor.user_id, *actor.roles])
        return or_(is_public, mine)
    return is_public


def access_jobs(db: Session, actor: Actor, object_ids: Sequence[str]) -> list[Job]:
    """The jobs of these ids, in that order. NotFound if the actor may not know of one of them."""
    found = {job.object_id: job for job in db.scalars(select(Job).where(Job.object_id.in_(object_ids)))}
    if any(object_id not in found or not can_see(actor, found[object_id]) for object_id in object_ids):
        raise NotFound(lazy("There is no such job that you can see."))
    return [found[object_id] for object_id in object_ids]


def list_schedules(
    db: Session, namespace: Namespace, labels: Mapping[str, str] | None = None
) -> list[Schedule]:
    """Schedules of an owner, newest first, for those who may see its jobs."""
    statement = select(Schedule).where(Schedule.namespace_id == namespace.id).order_by(Schedule.id.desc())
    found = db.scalars(statement).unique().all()
    wanted = (labels or {}).items()
    return [one for one in found if all((one.spec.get("labels") or {}).get(k) == v for k, v in wanted)]


def list_attempts(db: Session, job: Job) -> list[JobAttempt]:
    statement = select(JobAttempt).where(JobAttempt.job_id == job.id).order_by(JobAttempt.number)
    return list(db.scalars(statement))


def list_needs(db: Session, job: Job) -> list[Job]:
    """The jobs this one waits, or waited, for."""
    statement = select(Job).join(JobNeed, JobNeed.needs_id == Job.id).where(JobNeed.job_id == job.id)
    return list(db.scalars(statement.order_by(Job.id)).unique())


def is_online(runner: Runner) -> bool:
    return runner.last_seen_at is not None and clock.now() - runner.last_seen_at < ONLINE


def list_runners(db: Session, actor: Actor) -> list[Runner]:
    """Runners that take everybody's jobs, and those that work for the actor or were lent by them."""
    if actor.is_admin:
        wanted: ColumnElement[bool] = Runner.id.is_not(None)
    elif actor.user_id is None:
        wanted = Runner.scope == "instance"
    else:
        ids = [actor.user_id, *actor.roles]
        wanted = or_(
            Runner.scope == "instance", Runner.owner_id == actor.user_id, Runner.namespace_id.in_(ids)
        )
    statement = select(Runner).where(Runner.revoked_at.is_(None), wanted).order_by(Runner.id.desc())
    return list(db.scalars(statement).unique())


def running_on(db: Session, runners: Sequence[Runner]) -> dict[int, list[Job]]:
    """What each of the runners has at the moment."""
    statement = (
        select(JobAttempt.runner_id, Job)
        .join(Job, Job.id == JobAttempt.job_id)
        .where(JobAttempt.ended_at.is_(None), JobAttempt.runner_id.in_([one.id for one in runners]))
    )
    found: dict[int, list[Job]] = {}
    for runner_id, job in db.execute(statement).unique():
        if runner_id is not None:
            found.setdefault(runner_id, []).append(job)
    return found


def get_credit(db: Session, user_id: int) -> RunnerCredit | None:
    """Machine time a person has given to jobs of others."""
    return db.get(RunnerCredit, user_id)


def why_waiting(db: Session, job: Job) -> str:
    """One sentence on why a job has not begun; empty when it has."""
    if job.state == "queued":
        return _why_queued(db, job)
    reasons = {
        "waiting": lazy("Waits for the jobs it needs."),
        "preparing": lazy("A runner has it and gets ready."),
    }
    return reasons.get(job.state, "")


def _why_queued(db: Session, job: Job) -> str:
    if job.available_at > clock.now():
        return lazy("Is tried again after a pause.")
    runners = [one for one in db.scalars(_could_take(job)).unique() if is_online(one)]
    if not runners:
        return lazy("No runner that works for its owner is online.")
    if job.needs_container and not any(_has_containers(one) for one in runners):
        return lazy("No runner with podman or docker is online: images other than python need one.")
    if not any(_is_large_enough(one, job) for one in runners):
        return lazy("No runner that is online has as much as it asks for.")
    return lazy("Waits for its turn.")


def _could_take(job: Job) -> Select[Runner]:
    scope = or_(
        Runner.scope == "instance", Runner.namespace_id == job.namespace_id, Runner.scope == "repository"
    )
    trust = Runner.is_trusted.is_(True) if not job.is_open else Runner.id.is_not(None)
    return select(Runner).where(
        and_(Runner.revoked_at.is_(None), Runner.is_draining.is_(False), scope, trust)
    )


def _has_containers(runner: Runner) -> bool:
    return bool({"podman", "docker"} & set(runner.about.get("executors") or ()))


def _is_large_enough(runner: Runner, job: Job) -> bool:
    has = runner.about.get("resources") or {}
    names = ("cores", "memory_bytes", "gpus", "disk_bytes")
    asked = {name: getattr(job, name) for name in names}
    return all(has.get(name, 0) >= amount for name, amount in asked.items())


def list_gpus(db: Session) -> list[tuple[int, int]]:
    """Of each registered machine, how many GPUs it has and the memory of one, in bytes."""
    statement = select(Runner).where(Runner.revoked_at.is_(None), Runner.scope == "instance")
    found = (runner.about.get("resources") or {} for runner in db.scalars(statement).unique())
    return [(has.get("gpus", 0), has.get("gpu_memory_bytes", 0)) for has in found]


def has_gpus(machines: Sequence[tuple[int, int]], gpus: int, gpu_memory_bytes: int) -> bool:
    """Whether some machine of `list_gpus` has that many GPUs of that size."""
    return any(count >= gpus and memory >= gpu_memory_bytes for count, memory in machines)
