"""Starting and ending replicas. Every function works inside the caller's transaction."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session, lazyload

from llmos.core import clock
from llmos.core.errors import LlmosError, Unavailable
from llmos.features.endpoints.models import Endpoint, Replica
from llmos.features.endpoints.placing import find_victims, has_engine
from llmos.features.endpoints.servable import describe_servable
from llmos.features.jobs.engines import add_engine_job, stop_engine, was_handed_back
from llmos.features.repos.models import Repo
from llmos.features.repos.places import git_path, open_git
from llmos.features.repos.revision_files import RevisionFiles
from llmos.infra.git.revisions import resolve
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime

# A replica that is ready and that nobody has reached for so long counts as lost.
AWAY = timedelta(seconds=8)
_MAX_PAUSE_S = 300


class EngineFailed(Unavailable):
    """The model did not start a moment ago; `data["retry_after_s"]` says when it is tried again."""

    code = "engine_failed"


def lock_endpoint(db: Session, endpoint_id: int) -> Endpoint | None:
    """The row as it is now, ours until the transaction ends."""
    statement = select(Endpoint).where(Endpoint.id == endpoint_id).options(lazyload("*")).with_for_update()
    return db.scalars(statement.execution_options(populate_existing=True)).first()


def add_on_demand(db: Session, rt: Runtime, repo: Repo, creator_id: int, oid: str) -> Endpoint:
    """The endpoint without a name for a model, at a commit or following main."""
    statement = select(Endpoint).where(Endpoint.repo_id == repo.id, Endpoint.name.is_(None))
    statement = statement.where(Endpoint.is_pinned.is_(bool(oid)))
    if oid:
        statement = statement.where(Endpoint.oid == oid)
    found = db.scalars(statement.order_by(Endpoint.id)).unique().first()
    if found is None:
        found = Endpoint(namespace_id=repo.namespace_id, creator_id=creator_id, repo_id=repo.id)
        found.revision, found.is_pinned = oid or "main", bool(oid)
        db.add(found)
        db.flush()
    found.state = "active"
    head = oid or repo.head_oid or ""
    if not found.oid or (found.oid != head and not _takes_over(db, rt, found, repo, head)):
        found.oid = head
    describe(db, rt, found, repo)
    # The engine reads the model by the rights of whoever wants it now.
    found.creator_id = creator_id
    db.flush()
    return found


def describe(db: Session, rt: Runtime, endpoint: Endpoint, repo: Repo) -> None:
    """Take engine, task and memory from the files at the endpoint's commit, where nothing was chosen."""
    servable = describe_servable(db, rt, repo, endpoint.oid)
    if servable.is_servable:
        kept = {
            key: value
            for key, value in endpoint.spec.items()
            if key not in ("engine", "task", "file", "base")
        }
        endpoint.task = servable.task
        endpoint.spec = kept | servable.spec() | ({"engine": endpoint.engine} if endpoint.engine else {})
        endpoint.memory_bytes = servable.memory_bytes


def follow_branch(db: Session, rt: Runtime, endpoint: Endpoint) -> None:
    """The commit the followed branch has now. A branch that is gone leaves what is served as it is."""
    repo = db.get(Repo, endpoint.repo_id) if endpoint.repo_id else None
    if endpoint.is_pinned or repo is None:
        return
    try:
        oid = resolve(open_git(rt, repo), endpoint.revision)
    except LlmosError:
        return
    if oid != endpoint.oid and not _takes_over(db, rt, endpoint, repo, oid):
        endpoint.oid, endpoint.failed_count, endpoint.problem = oid, 0, ""
        describe(db, rt, endpoint, repo)


# What no engine reads: results, curves, cards and pictures.
_UNREAD_FOLDERS = (".eval_results/", "runs/")
_UNREAD_ENDINGS = (".md", ".svg", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".gitattributes")


def _takes_over(db: Session, rt: Runtime, endpoint: Endpoint, repo: Repo, oid: str) -> bool:
    """Let engines of the commit so far serve `oid` as they are, if it differs in nothing that they read.

    A score that is committed to a model must not cost it a start.
    """
    live = [one for one in list_live(db, endpoint.id) if one.oid == endpoint.oid]
    if not live or _read_files(rt, repo, endpoint.oid) != _read_files(rt, repo, oid):
        return False
    for replica in live:
        replica.oid = oid
    endpoint.oid = oid
    return True


def _read_files(rt: Runtime, repo: Repo, oid: str) -> dict[str, str] | None:
    """Digests by path; None for a commit that is not there any more, which equals no other."""
    try:
        entries = RevisionFiles(rt, git_path(rt, repo), oid).entries
    except LlmosError:
        return None
    return {
        path: entry.oid
        for path, entry in entries.items()
        if not path.startswith(_UNREAD_FOLDERS) and not path.lower().endswith(_UNREAD_ENDINGS)
    }


def list_live(db: Session, endpoint_id: int) -> list[Replica]:
    """Replicas that start or are ready, oldest first."""
    statement = (
        select(Replica)
        .where(Replica.endpoint_id == endpoint_id, Replica.state.in_(("starting", "ready")))
        .order_by(Replica.id)
    )
    return list(db.scalars(statement))


def is_lost(replica: Replica) -> bool:
    """Whether its machine has not been heard of for too long."""
    return replica.away_at is not None and clock.now() - replica.away_at > AWAY


def settle(db: Session, endpoint: Endpoint) -> None:
    """End replicas whose engine is over, and note why one did not start."""
    statement = select(Replica).where(Replica.endpoint_id == endpoint.id, Replica.state != "ended")
    for replica in db.scalars(statement.order_by(Replica.id)):
        job = replica.job
        if job is not None and not job.is_over:
            continue
        has_begun = replica.state != "starting" or replica.ready_at is not None
        if not has_begun and (job is None or job.state != "canceled") and not _is_interrupted(db, replica):
            endpoint.problem = replica.reason or (job.reason if job else "") or "The engine ended at once."
            endpoint.failed_count += 1
            endpoint.failed_at = clock.now()
        end_replica(db, replica, job.reason if job else "")


def _is_interrupted(db: Session, replica: Replica) -> bool:
    """Whether a restart of its machine ended it, which says nothing about the model.

    Twice in a row says something: a model that takes the runner along must not do so without end.
    """
    if replica.job_id is None or not was_handed_back(db, replica.job_id):
        return False
    earlier = select(Replica).where(Replica.endpoint_id == replica.endpoint_id, Replica.id < replica.id)
    before = db.scalars(earlier.order_by(Replica.id.desc()).limit(1)).first()
    if before is None or before.ready_at is not None or before.job_id is None:
        return True
    return not was_handed_back(db, before.job_id)


def end_replica(db: Session, replica: Replica, reason: str = "") -> None:
    """The engine ends as soon as its machine hears of it."""
    replica.state, replica.ended_at, replica.holder = "ended", clock.now(), ""
    replica.reason = replica.reason or reason
    if replica.job_id is not None:
        stop_engine(db, replica.job_id)


def drain(db: Session, replica: Replica, reason: str) -> None:
    """No more calls; ended once the present ones are over. One that nobody reaches ends at once."""
    if replica.state == "starting" or not replica.holder:
        end_replica(db, replica, reason)
    elif replica.state == "ready":
        replica.state, replica.draining_at, replica.reason = "draining", clock.now(), reason


def ensure_replica(db: Session, rt: Runtime, endpoint: Endpoint) -> Replica | None:
    """Start one unless one starts or is ready; the new one. Raises NoRunner, NotServable, EngineFailed."""
    settle(db, endpoint)
    if any(not is_lost(replica) for replica in list_live(db, endpoint.id)):
        return None
    check_pause(endpoint)
    return start_replica(db, rt, endpoint)


def check_pause(endpoint: Endpoint) -> None:
    """After a failure the next try waits, longer each time. Raises EngineFailed."""
    if endpoint.failed_at is None or not endpoint.failed_count:
        return
    pause_s = min(2**endpoint.failed_count, _MAX_PAUSE_S)
    left_s = pause_s - (clock.now() - endpoint.failed_at).total_seconds()
    if left_s > 0:
        raise EngineFailed(
            lazy("%(model)s did not start: %(problem)s", model=endpoint.shown_name, problem=endpoint.problem),
            data={"retry_after_s": int(left_s) + 1},
        )


def _choose_reader(db: Session, rt: Runtime, endpoint: Endpoint, repo: Repo) -> None:
    """A GGUF file is read by transformers, unpacked, where no machine has llama.cpp."""
    if not has_engine(db, endpoint, "llama.cpp") and has_engine(db, endpoint, "transformers"):
        servable = describe_servable(db, rt, repo, endpoint.oid)
        endpoint.spec = endpoint.spec | {"engine": "transformers"}
        endpoint.memory_bytes = max(endpoint.memory_bytes, servable.unpacked_bytes)


def start_replica(db: Session, rt: Runtime, endpoint: Endpoint) -> Replica:
    """Queue one more engine; others end if it needs their room. Raises NoRunner, NotServable.

    Call `waking.wake_runners` after the commit.
    """
    repo = db.get(Repo, endpoint.repo_id) if endpoint.repo_id else None
    assert repo is not None
    if not endpoint.memory_bytes:
        describe(db, rt, endpoint, repo)
    if endpoint.spec.get("engine") == "llama.cpp" and not endpoint.engine:
        _choose_reader(db, rt, endpoint, repo)
    for victim in find_victims(db, endpoint):
        drain(db, victim, lazy("Another model needed its memory."))
    job = add_engine_job(
        db,
        namespace_id=endpoint.namespace_id,
        creator_id=endpoint.creator_id,
        repo_name=repo.repo_name,
        revision=endpoint.oid,
        engine=endpoint.spec,
        memory_bytes=endpoint.memory_bytes,
        gpus=endpoint.gpus,
        title=endpoint.shown_name,
    )
    replica = Replica(
        endpoint_id=endpoint.id, job_id=job.id, oid=endpoint.oid, memory_bytes=endpoint.memory_bytes
    )
    db.add(replica)
    db.flush()
    return replica
