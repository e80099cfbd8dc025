"""Who may see, start and stop jobs, and register runners. `access_job` is the only door to a private one."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.errors import Forbidden, NotFound, Unauthenticated
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace, Role
from llmos.features.accounts.policy import access_namespace
from llmos.features.jobs.models import Job, Runner, Schedule
from llmos.features.repos.policy import refuse, role_in
from llmos.infra.i18n import lazy


class Owned(Protocol):
    @property
    def namespace(self) -> Namespace: ...


def can_see_jobs(actor: Actor, namespace: Namespace) -> bool:
    """May see all jobs of a person or organisation: themselves, and every member."""
    if role_in(actor, namespace) is None:
        return False
    return any(actor.allows(verb, namespace.name) for verb in ("repo.read", "job.write"))


def can_run_jobs(actor: Actor, namespace: Namespace) -> bool:
    """May start, stop and schedule jobs: members with the write role, with a credential for it."""
    role = role_in(actor, namespace)
    if role is None or role.rank < Role.WRITE.rank:
        return False
    return actor.allows("job.write", namespace.name)


def check_run_jobs(actor: Actor, namespace: Namespace) -> None:
    """Forbidden (Unauthenticated for visitors) unless the actor may run jobs there."""
    if not can_run_jobs(actor, namespace):
        refuse(
            actor,
            lazy(
                "You may not run jobs for %(name)s: ask for the write role there, and use a token that "
                "may start jobs.",
                name=namespace.name,
            ),
        )


def access_owner(db: Session, actor: Actor, name: str) -> Namespace:
    """The person or organisation whose jobs are meant; `me` is oneself."""
    return access_namespace(db, actor, actor.name if name == "me" and actor.name else name)


def access_job(db: Session, actor: Actor, namespace: str, object_id: str) -> Job:
    """The job, if the actor may know of it. Raises NotFound, Unauthenticated for visitors."""
    job = db.scalar(select(Job).where(Job.object_id == object_id))
    owner = actor.name if namespace == "me" else namespace
    if job is None or job.namespace.name_key != owner.lower() or not can_see(actor, job):
        raise _not_found(actor, lazy("There is no such job that you can see."))
    return job


def can_see(actor: Actor, job: Job) -> bool:
    return job.visibility == "public" or can_see_jobs(actor, job.namespace)


def _not_found(actor: Actor, message: str) -> Exception:
    if actor.is_anonymous:
        return Unauthenticated(lazy("Sign in, or send an access token, to do this."))
    return NotFound(message)


def access_schedule(db: Session, actor: Actor, namespace: str, object_id: str) -> Schedule:
    """The schedule, for those who may see the owner's jobs."""
    found = db.scalar(select(Schedule).where(Schedule.object_id == object_id))
    owner = actor.name if namespace == "me" else namespace
    if found is None or found.namespace.name_key != owner.lower() or not can_see_jobs(actor, found.namespace):
        raise _not_found(actor, lazy("There is no such scheduled job that you can see."))
    return found


def can_manage_runner(actor: Actor, runner: Runner) -> bool:
    """Whoever lends the machine, the admins of what it works for, and those of the instance."""
    if actor.is_suspended or actor.user_id is None or actor.token_role not in (None, "write"):
        return False
    if actor.is_admin or actor.user_id == runner.owner_id:
        return True
    return runner.scope == "organization" and actor.roles.get(runner.namespace_id or 0) == Role.ADMIN


def access_runner(db: Session, actor: Actor, object_id: str) -> Runner:
    """A runner the actor may change. Raises NotFound, Forbidden."""
    runner = db.scalar(select(Runner).where(Runner.object_id == object_id))
    if runner is None or runner.revoked_at is not None:
        raise NotFound(lazy("There is no such runner."))
    if not can_manage_runner(actor, runner):
        raise Forbidden(lazy("Only whoever registered this runner, or an admin, may change it."))
    return runner
