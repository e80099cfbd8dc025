"""Register machines, change and remove them, and recognise one by its token."""

from __future__ import annotations

import secrets
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, lazyload

from llmos.core import clock
from llmos.core.errors import BadRequest, Forbidden, Unauthenticated
from llmos.core.names import split_repo_name
from llmos.core.repo_types import RepoType
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import User
from llmos.features.accounts.policy import access_organization, check_can_manage
from llmos.features.jobs.models import Runner
from llmos.features.jobs.rules import ENGINE
from llmos.features.repos.policy import access_repo, check_admin
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.security.secrets import hash_secret
from llmos.wire.runners import RunnerHello, RunnerWelcome

SCOPES = ("instance", "organization", "person", "repository")
TOKEN_PREFIX = "llmosr_"
MAX_NAME_CHARS = 80
# A runner asks at least every twenty seconds, or speaks of what it runs.
ONLINE = timedelta(seconds=90)
_NOTE_EVERY = timedelta(seconds=15)


def register_runner(
    db: Session, actor: Actor, *, name: str, scope: str, target: str = "", is_trusted: bool | None = None
) -> tuple[Runner, str]:
    """A new runner and its token, which cannot be read again.

    `target` names the organisation or `type:namespace/name` of the scope. A machine is trusted by
    those it works for; one lent to everybody only if an administrator says so. Raises Forbidden,
    NotFound, BadRequest with the field.
    """
    actor.check_account_write()
    owner_id = actor.require_user()
    runner = Runner(name=check_name(name), owner_id=owner_id, scope=scope, is_trusted=True)
    if scope == "instance":
        runner.is_trusted = actor.is_admin and is_trusted is not False
    elif scope == "organization":
        org = access_organization(db, actor, target)
        check_can_manage(actor, org)
        runner.namespace_id = org.id
    elif scope == "person":
        runner.namespace_id = owner_id
    elif scope == "repository":
        runner.repo_id = _repo_id(db, actor, target)
    else:
        raise BadRequest(
            lazy("The scope must be one of: %(scopes)s.", scopes=", ".join(SCOPES)), data={"field": "scope"}
        )
    if is_trusted is False:
        runner.is_trusted = False
    token = _set_token(runner)
    db.add(runner)
    db.flush()
    audit.record(db, actor, "runner.register", runner.object_id, name=runner.name, scope=scope)
    return runner, token


def _repo_id(db: Session, actor: Actor, target: str) -> int:
    kind, colon, name = target.partition(":")
    if not colon or kind not in list(RepoType):
        raise BadRequest(
            lazy("Name the repository as type:namespace/name, such as model:ada/tiny-llm."),
            data={"field": "target"},
        )
    repo = access_repo(db, actor, RepoType(kind), *split_repo_name(name))
    check_admin(actor, repo)
    return repo.id


def check_name(name: str) -> str:
    """The name, tidied. Raises BadRequest."""
    name = " ".join(name.split())
    if not name or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise BadRequest(
            lazy("Give the runner a name of at most %(count)d characters.", count=MAX_NAME_CHARS),
            data={"field": "name"},
        )
    return name


def _set_token(runner: Runner) -> str:
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    runner.token_hash, runner.token_hint = hash_secret(token), f"…{token[-4:]}"
    return token


def renew_token(db: Session, actor: Actor, runner: Runner) -> str:
    """A fresh token; the old one is refused from now on."""
    audit.record(db, actor, "runner.token", runner.object_id, name=runner.name)
    return _set_token(runner)


def set_draining(db: Session, actor: Actor, runner: Runner, *, is_draining: bool) -> None:
    """A draining runner finishes what it has and gets nothing new."""
    runner.is_draining = is_draining
    audit.record(db, actor, "runner.drain", runner.object_id, name=runner.name, is_draining=is_draining)


def set_trusted(db: Session, actor: Actor, runner: Runner, *, is_trusted: bool) -> None:
    """Raises Forbidden: whom everybody's jobs are trusted to is for administrators to say."""
    if runner.scope == "instance" and is_trusted and not actor.is_admin:
        raise Forbidden(lazy("Only an administrator of this site may do this."))
    runner.is_trusted = is_trusted
    audit.record(db, actor, "runner.trust", runner.object_id, name=runner.name, is_trusted=is_trusted)


def remove_runner(db: Session, actor: Actor, runner: Runner) -> None:
    """Its token is refused from now on; what it runs is lost and goes on elsewhere."""
    runner.revoked_at = clock.now()
    audit.record(db, actor, "runner.remove", runner.object_id, name=runner.name)


def runner_of(db: Session, token: str | None, *, is_alone: bool = False) -> Runner:
    """The runner with this token. Raises Unauthenticated; also when its owner was banned or disabled.

    `is_alone` leaves out what most calls need not: its namespace and repository are read when asked for.
    """
    statement = select(Runner).where(Runner.token_hash == hash_secret(token or ""))
    if is_alone:
        beside = (lazyload(Runner.namespace), lazyload(Runner.repo))
        statement = statement.options(joinedload(Runner.owner).lazyload("*"), *beside)
    found = db.scalar(statement) if token else None
    if found is None or found.revoked_at is not None or not _may_lend(found.owner):
        raise Unauthenticated(
            lazy("This runner token is not valid: register the runner again on the page Runners."),
            code="InvalidRunnerToken",
        )
    return found


def _may_lend(user: User) -> bool:
    return user.disabled_at is None and not user.is_sanctioned("suspend", "ban")


def needs_note(runner: Runner, hello: RunnerHello) -> bool:
    """Whether what is known of a runner is old enough, or other enough, to be written down."""
    return _is_stale(runner) or runner.about.get("running") != hello.running


def _is_stale(runner: Runner) -> bool:
    return runner.last_seen_at is None or clock.now() - runner.last_seen_at > _NOTE_EVERY


def note_alive(runner: Runner) -> None:
    """It spoke of a job: one whose slots are all taken asks for none, and is there all the same."""
    if _is_stale(runner):
        runner.last_seen_at = clock.now()


def note_seen(db: Session, runner_id: int, hello: RunnerHello) -> None:
    runner = db.get(Runner, runner_id)
    if runner is not None:
        runner.last_seen_at = clock.now()
        about = hello.model_dump(mode="json", exclude={"wait_s"})
        # It asks for engines in calls of their own.
        if ENGINE in hello.kinds:
            about["kinds"] = sorted({*hello.kinds, *runner.about.get("kinds", ())})
        runner.about = about


def welcome(rt: Runtime, runner: Runner, hub_url: str) -> RunnerWelcome:
    scope_name = runner.namespace.name if runner.namespace else (runner.repo.key if runner.repo else "")
    return RunnerWelcome.model_validate(
        {
            "runner_id": runner.object_id,
            "name": runner.name,
            "scope": runner.scope,
            "scope_name": scope_name,
            "trusted": runner.is_trusted,
            "draining": runner.is_draining,
            "heartbeat_s": rt.settings.job_lease_s / 4,
            "lease_s": rt.settings.job_lease_s,
            "hub_url": hub_url,
            "server_time": clock.now(),
        }
    )
