"""Create, delete and bring back repositories.

Git folders are made before rows and removed after them: a crash between the two leaves an
orphaned folder, never a row without content.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import NotFound
from llmos.core.ids import new_object_id
from llmos.core.repo_types import RepoType
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.auth.oauth_flow import remember_created
from llmos.features.repos.claims import release_claims
from llmos.features.repos.commit_targets import author_identity, site_identity
from llmos.features.repos.indexing import forget_search, index_head
from llmos.features.repos.models import DeletedRepo, Repo, RepoLfsClaim
from llmos.features.repos.naming import (
    access_namespace,
    check_free,
    free_alias,
    repo_exists,
    split_new_name,
)
from llmos.features.repos.places import git_folder, git_path
from llmos.features.repos.policy import check_admin, check_create, lock_repo
from llmos.features.repos.seeds import check_sdk, first_files, init_git, remove_git
from llmos.features.repos.tombstones import restore_rows, take_snapshot
from llmos.infra.i18n import lazy
from llmos.infra.queue.outbox import emit
from llmos.infra.runtime import Runtime

KEEP_DELETED = timedelta(days=7)


@contextmanager
def looking(rt: Runtime, db: Session) -> Iterator[Session]:
    """A session for checks that come before slow git work.

    A writing session that has not begun is left alone: its first query would take the only write
    lock of SQLite for as long as the git work lasts.
    """
    if db.in_transaction():
        yield db
        return
    with rt.database.reading() as session:
        yield session


def create_repo(
    db: Session,
    actor: Actor,
    rt: Runtime,
    *,
    name: str,
    repo_type: RepoType = RepoType.MODEL,
    organization: str | None = None,
    visibility: str | None = None,
    sdk: str | None = None,
    license_id: str | None = None,
    files: Mapping[str, bytes] | None = None,
) -> Repo:
    """Create a repository with its first commit, in the actor's namespace by default.

    Visibility defaults to what the organisation prescribes, else public. An old name that
    redirected elsewhere is taken over. Raises RepoExists (409) when the name is taken, Forbidden
    or Unauthenticated without the right to create here, BadRequest for a malformed name or SDK.
    """
    actor.require_user()
    namespace_name, repo_name = split_new_name(actor, name, organization)
    sdk = check_sdk(repo_type, sdk)
    with looking(rt, db) as look:
        namespace = access_namespace(look, actor, namespace_name, repo_type)
        check_free(look, repo_type, namespace, repo_name)
        namespace_id, visibility = namespace.id, visibility or default_visibility(namespace)
    repo = Repo(
        object_id=new_object_id(),
        type=repo_type.value,
        visibility=visibility,
        sdk=sdk,
        created_by_id=actor.user_id,
    )
    content = first_files(repo_type, name=repo_name, license_id=license_id, sdk=sdk, files=files)
    init_git(git_path(rt, repo), author_identity(rt, actor), site_identity(rt), content)
    repo = add_repo_row(db, actor, rt, repo, namespace_id=namespace_id, name=repo_name)
    remember_created(db, actor, repo.key)
    return repo


def default_visibility(namespace: Namespace) -> str:
    """What a new repository of the namespace is when nobody says."""
    organization = namespace.organization
    return organization.default_visibility if organization is not None else "public"


def add_repo_row(
    db: Session,
    actor: Actor,
    rt: Runtime,
    repo: Repo,
    *,
    namespace_id: int,
    name: str,
    claims: Sequence[dict[str, Any]] = (),
    news: dict[str, Any] | None = None,
) -> Repo:
    """Register a repository whose git folder is complete; the folder goes if the name was taken.

    `claims` are the large objects it may use from the start, `news` is added to the event.
    """
    with ExitStack() as undo:
        undo.callback(remove_git, git_path(rt, repo))
        namespace = db.get(Namespace, namespace_id)
        if namespace is None:
            raise NotFound(lazy("The namespace of %(name)r was deleted meanwhile.", name=name))
        free_alias(db, repo.repo_type, namespace.name, name)
        _insert(db, repo, namespace, name)
        if claims:
            db.execute(insert(RepoLfsClaim), [{"repo_id": repo.id, **claim} for claim in claims])
        index_head(db, rt, repo, force=True)
        undo.pop_all()
    audit.record(db, actor, "repo.create", repo.key, visibility=repo.visibility)
    emit(db, "RepoCreated", event_payload(actor, repo) | (news or {}))
    return repo


def _insert(db: Session, repo: Repo, namespace: Namespace, name: str) -> None:
    repo.namespace, repo.namespace_id = namespace, namespace.id
    repo.name, repo.name_key = name, name.lower()
    repo.tags = []
    try:
        with db.begin_nested():
            db.add(repo)
    except IntegrityError as error:
        # Somebody else created the same name between the check and now.
        raise repo_exists(repo.repo_type, f"{namespace.name}/{name}") from error


def event_payload(actor: Actor, repo: Repo) -> dict[str, Any]:
    return {
        "repo_id": repo.id,
        "object_id": repo.object_id,
        "type": repo.type,
        "repo_name": repo.repo_name,
        "visibility": repo.visibility,
        "actor_id": actor.user_id,
    }


def delete_repo(db: Session, actor: Actor, repo: Repo) -> DeletedRepo:
    """Delete a repository: its name is free at once, its git folder is kept for KEEP_DELETED.

    Raises Forbidden unless the actor may administer it, RepoNotFound when somebody was faster.
    """
    check_admin(actor, repo)
    lock_repo(db, repo.id)
    now = clock.now()
    tombstone = DeletedRepo(
        object_id=repo.object_id,
        type=repo.type,
        repo_name=repo.repo_name,
        namespace_id=repo.namespace_id,
        deleted_by_id=actor.user_id,
        deleted_at=now,
        purge_after=now + KEEP_DELETED,
        snapshot=take_snapshot(db, repo),
    )
    db.add(tombstone)
    audit.record(db, actor, "repo.delete", repo.key)
    emit(db, "RepoDeleted", event_payload(actor, repo))
    forget_search(db, repo)
    # The grace of its large objects begins now, or an undo could find them collected.
    release_claims(db, repo)
    db.flush()
    db.execute(delete(Repo).where(Repo.id == repo.id))
    db.expunge(repo)
    return tombstone


def list_deleted_repos(db: Session, actor: Actor, namespace: Namespace) -> list[DeletedRepo]:
    """What can still be brought back in a namespace, newest first."""
    check_create(actor, namespace)
    statement = (
        select(DeletedRepo)
        .where(DeletedRepo.namespace_id == namespace.id)
        .order_by(DeletedRepo.deleted_at.desc())
    )
    return list(db.scalars(statement))


def restore_deleted_repo(
    db: Session, actor: Actor, rt: Runtime, object_id: str, *, new_name: str | None = None
) -> Repo:
    """Undo a deletion, under the old name or a new one in the same namespace.

    Raises NotFound when there is nothing (left) to restore or the actor has no right to see it,
    RepoExists when the name was taken since.
    """
    tombstone = db.scalar(select(DeletedRepo).where(DeletedRepo.object_id == object_id))
    namespace = db.get(Namespace, tombstone.namespace_id) if tombstone else None
    if tombstone is None or namespace is None or not git_folder(rt, tombstone.object_id).is_dir():
        raise NotFound(lazy("There is no deleted repository of this id to bring back."))
    repo_type = RepoType(tombstone.type)
    access_namespace(db, actor, namespace.name, repo_type)
    name = new_name or tombstone.repo_name.partition("/")[2]
    check_free(db, repo_type, namespace, name)
    free_alias(db, repo_type, namespace.name, name)
    repo = restore_rows(db, tombstone, namespace, name)
    db.delete(tombstone)
    db.flush()
    index_head(db, rt, repo, force=True)
    check_admin(actor, repo)
    audit.record(db, actor, "repo.restore", repo.key)
    emit(db, "RepoRestored", event_payload(actor, repo))
    return repo


def purge_deleted_repos(rt: Runtime) -> int:
    """Remove the git folders whose time has come; return how many. Safe to run again after a crash."""
    with rt.database.reading() as db:
        due = list(db.scalars(select(DeletedRepo).where(DeletedRepo.purge_after <= clock.now())))
    for tombstone in due:
        remove_git(git_folder(rt, tombstone.object_id))
        with rt.database.writing() as db:
            db.execute(delete(DeletedRepo).where(DeletedRepo.id == tombstone.id))
    return len(due)
