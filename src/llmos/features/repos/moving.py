"""Rename, transfer and duplicate repositories."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from llmos.core.ids import new_object_id
from llmos.core.names import name_key, split_repo_name
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.repos.indexing import refresh_search
from llmos.features.repos.lifecycle import add_repo_row, default_visibility, event_payload, looking
from llmos.features.repos.models import Repo, RepoAlias, RepoFacts, RepoLfsClaim
from llmos.features.repos.naming import access_namespace, check_free, free_alias, repo_exists
from llmos.features.repos.places import git_path
from llmos.features.repos.policy import check_admin, check_content, lock_repo
from llmos.infra.db.upsert import upsert
from llmos.infra.git.maintenance import duplicate
from llmos.infra.queue.outbox import emit
from llmos.infra.runtime import Runtime

# Pull requests belong to the conversation of the original.
COPIED_REFS = ("refs/heads/*", "refs/tags/*", "refs/convert/*")


def move_repo(db: Session, actor: Actor, repo: Repo, to_name: str) -> Repo:
    """Give a repository another name, another namespace or both; the old name redirects.

    Rows only: git data does not move. Raises RepoExists when the new name is taken, Forbidden
    unless the actor administers the repository and may create in the target namespace.
    """
    check_admin(actor, repo)
    lock_repo(db, repo.id)
    namespace_name, name = split_repo_name(to_name, field="toRepo")
    target = _target_namespace(db, actor, repo, namespace_name)
    old_name = repo.repo_name
    new_name = f"{target.name}/{name}"
    if new_name == old_name:
        return repo
    if name_key(new_name) != name_key(old_name):
        check_free(db, repo.repo_type, target, name)
        free_alias(db, repo.repo_type, target.name, name)
        alias = {"type": repo.type, "name_key": name_key(old_name), "repo_id": repo.id}
        upsert(db, RepoAlias, [alias], keys=["type", "name_key"], update=["repo_id"])
    _rename(db, repo, target, name)
    facts = db.get(RepoFacts, repo.id)
    refresh_search(db, repo, facts.card_text if facts else "", facts.card if facts else {})
    audit.record(db, actor, "repo.move", repo.key, old_name=old_name)
    emit(db, "RepoMoved", event_payload(actor, repo) | {"old_name": old_name})
    return repo


def _target_namespace(db: Session, actor: Actor, repo: Repo, name: str) -> Namespace:
    if name_key(name) == repo.namespace.name_key:
        return repo.namespace
    return access_namespace(db, actor, name, repo.repo_type)


def _rename(db: Session, repo: Repo, namespace: Namespace, name: str) -> None:
    try:
        with db.begin_nested():
            repo.namespace, repo.namespace_id = namespace, namespace.id
            repo.name, repo.name_key = name, name_key(name)
    except IntegrityError as error:
        raise repo_exists(repo.repo_type, f"{namespace.name}/{name}") from error


def duplicate_repo(
    db: Session, actor: Actor, rt: Runtime, source: Repo, to_name: str, *, visibility: str | None = None
) -> Repo:
    """A copy with branches, tags and history, complete when this returns; large files are shared.

    Only for those who may read the content (so gated content needs granted access). A copy of a
    private repository is private unless asked otherwise. Raises as `create_repo` does.
    """
    actor.require_user()
    namespace_name, name = split_repo_name(to_name, field="repository")
    with looking(rt, db) as look:
        check_content(look, actor, source)
        namespace = access_namespace(look, actor, namespace_name, source.repo_type)
        check_free(look, source.repo_type, namespace, name)
        namespace_id = namespace.id
        fallback = "private" if source.is_private else default_visibility(namespace)
        claims = look.execute(
            select(RepoLfsClaim.oid, RepoLfsClaim.size_bytes, RepoLfsClaim.xet_hash).where(
                RepoLfsClaim.repo_id == source.id
            )
        ).all()
    repo = Repo(
        object_id=new_object_id(),
        type=source.type,
        visibility=visibility or fallback,
        sdk=source.sdk,
        created_by_id=actor.user_id,
    )
    path = git_path(rt, repo)
    path.parent.mkdir(parents=True, exist_ok=True)
    duplicate(git_path(rt, source), path, refs=COPIED_REFS)
    rows = [claim._asdict() for claim in claims]
    return add_repo_row(
        db,
        actor,
        rt,
        repo,
        namespace_id=namespace_id,
        name=name,
        claims=rows,
        news={"duplicated_from": source.id},
    )
