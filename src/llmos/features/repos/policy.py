"""Who may do what to a repository. `access_repo` is the only door to a private one."""

from __future__ import annotations

from typing import NoReturn, Protocol

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from llmos.core.errors import Forbidden, GatedRepo, LlmosError, RepoNotFound, Unauthenticated
from llmos.core.names import name_key
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace, Role
from llmos.features.repos.models import AccessRequest, Repo, RepoAlias
from llmos.infra.i18n import lazy

# Asked at nearly every request: put together once.
_BY_NAME = (
    select(Repo)
    .join(Repo.namespace)
    .where(
        Repo.type == bindparam("type"),
        Namespace.name_key == bindparam("namespace"),
        Repo.name_key == bindparam("name"),
    )
)


class RepoMoved(LlmosError):
    """The name belonged to a repository that now has another; `data["repo_name"]` is the new one."""

    status = 307
    code = "RepoMoved"


def repo_not_found(actor: Actor, repo_type: RepoType, repo_name: str) -> LlmosError:
    """The one answer for "does not exist" and "not for you"; 401 for a visitor, who may sign in."""
    message = f"Repository Not Found: there is no {repo_type} {repo_name!r} that you can see."
    if actor.is_anonymous:
        return RepoNotFound(message + " If it is private, sign in or send an access token.", status=401)
    return RepoNotFound(message)


def get_repo(db: Session, repo_type: RepoType, namespace: str, name: str) -> Repo | None:
    """The row by its current name, in any case; says nothing about access."""
    wanted = {"type": repo_type.value, "namespace": name_key(namespace), "name": name_key(name)}
    return db.scalars(_BY_NAME, wanted).unique().one_or_none()


def _get_moved(db: Session, repo_type: RepoType, namespace: str, name: str) -> Repo | None:
    alias = db.get(RepoAlias, (repo_type.value, f"{name_key(namespace)}/{name_key(name)}"))
    return db.get(Repo, alias.repo_id) if alias else None


def lock_repo(db: Session, repo_id: int) -> Repo:
    """The row as it is now; nobody else changes or deletes it until this transaction ends.

    Whoever writes rows that hang on a repository takes this first: writers that took it later, in
    another order, would wait for each other. Raises RepoNotFound when it was deleted meanwhile.
    """
    repo = db.get(Repo, repo_id, with_for_update={"of": Repo}, populate_existing=True)
    if repo is None:
        raise RepoNotFound(lazy("Repository Not Found: it was deleted meanwhile."))
    return repo


def access_repo(db: Session, actor: Actor, repo_type: RepoType, namespace: str, name: str) -> Repo:
    """The repository, if the actor may know that it exists.

    Raises RepoMoved when the name is an old one of a repository the actor may see, and
    RepoNotFound (401 for visitors) otherwise.
    """
    repo = get_repo(db, repo_type, namespace, name)
    if repo is not None and can_read(actor, repo):
        return repo
    if repo is None:
        moved = _get_moved(db, repo_type, namespace, name)
        if moved is not None and can_read(actor, moved):
            raise RepoMoved(
                lazy("This repository is now %(repo_name)s.", repo_name=moved.repo_name),
                data={"repo_name": moved.repo_name},
            )
    raise repo_not_found(actor, repo_type, f"{namespace}/{name}")


def role_in(actor: Actor, namespace: Namespace) -> Role | None:
    """The actor's role in a namespace: ADMIN in their own and, for instance admins, in all."""
    if actor.is_anonymous:
        return None
    if actor.user_id == namespace.id or actor.is_admin:
        return Role.ADMIN
    role = actor.roles.get(namespace.id)
    return Role(role) if role else None


class Owned(Protocol):
    """What a namespace owns and shares by its members' roles: a repository, a bucket."""

    @property
    def namespace(self) -> Namespace: ...
    @property
    def created_by_id(self) -> int | None: ...
    @property
    def is_private(self) -> bool: ...
    @property
    def key(self) -> str: ...


def can_read(actor: Actor, repo: Owned) -> bool:
    """May know of the repository and see its card and metadata."""
    if not repo.is_private:
        return True
    if role_in(actor, repo.namespace) is None:
        return False
    return actor.allows("repo.read", repo.namespace.name, repo.key)


def can_write(actor: Actor, repo: Owned) -> bool:
    """May change content: members with `write`, and contributors in what they created."""
    role = role_in(actor, repo.namespace)
    if role is None or not actor.allows("repo.write", repo.namespace.name, repo.key):
        return False
    if role is Role.CONTRIBUTOR:
        return repo.created_by_id == actor.user_id
    return role.rank >= Role.WRITE.rank


def can_admin(actor: Actor, repo: Owned) -> bool:
    """May rename, move, delete, change visibility and gating, and handle access requests."""
    role = role_in(actor, repo.namespace)
    if role is None or not actor.allows("repo.admin", repo.namespace.name, repo.key):
        return False
    if role is Role.CONTRIBUTOR:
        return repo.created_by_id == actor.user_id
    return role is Role.ADMIN or (role is Role.WRITE and repo.created_by_id == actor.user_id)


def can_create(actor: Actor, namespace: Namespace) -> bool:
    """May create repositories in the namespace: contributors and up."""
    role = role_in(actor, namespace)
    if role is None:
        return False
    if not any(actor.allows(verb, namespace.name) for verb in ("repo.write", "repo.create")):
        return False
    return role.rank >= Role.CONTRIBUTOR.rank


def check_write(actor: Actor, repo: Repo) -> None:
    """Forbidden (or Unauthenticated for visitors) unless the actor may change content."""
    if not can_write(actor, repo):
        message = lazy(
            "You may read %(repo_name)s but not write to it: ask an owner for the write role, or use a "
            "token with the 'write' role.",
            repo_name=repo.repo_name,
        )
        refuse(actor, message)


def check_admin(actor: Actor, repo: Repo) -> None:
    if not can_admin(actor, repo):
        message = lazy(
            "Only an admin of %(namespace)s may change the settings of %(repo_name)s.",
            namespace=repo.namespace.name,
            repo_name=repo.repo_name,
        )
        refuse(actor, message)


def check_create(actor: Actor, namespace: Namespace) -> None:
    if not can_create(actor, namespace):
        message = lazy(
            "You don't have the rights to create a repository under the namespace %(namespace)r.",
            namespace=namespace.name,
        )
        refuse(actor, message)


def refuse(actor: Actor, message: str) -> NoReturn:
    """Forbidden with `message`; a visitor is asked to sign in instead (Unauthenticated)."""
    if actor.is_anonymous:
        raise Unauthenticated(lazy("Sign in, or send an access token, to do this."))
    actor.check_not_suspended()
    raise Forbidden(message)


def check_content(db: Session, actor: Actor, repo: Repo, path: str | None = None) -> None:
    """GatedRepo unless the actor may read file content; `README.md` stays open to all readers."""
    if repo.disabled:
        raise Forbidden(lazy("Access to this resource is disabled."))
    if not repo.gated or path == "README.md" or role_in(actor, repo.namespace) is not None:
        return
    if actor.is_anonymous:
        raise GatedRepo(
            lazy(
                "Access to %(type)s %(repo_name)s is restricted. You must have access to it and be "
                "authenticated to access it. Please log in.",
                type=repo.type,
                repo_name=repo.repo_name,
            ),
            status=401,
        )
    statement = select(AccessRequest.status).where(
        AccessRequest.repo_id == repo.id, AccessRequest.user_id == actor.user_id
    )
    if db.scalar(statement) != "accepted":
        raise GatedRepo(
            lazy(
                "Access to %(type)s %(repo_name)s is restricted and you are not in the authorized "
                "list. Visit its page to ask for access.",
                type=repo.type,
                repo_name=repo.repo_name,
            )
        )
