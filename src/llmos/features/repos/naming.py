"""Names of repositories: who owns a name, and whether it is free."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest, Conflict, Forbidden
from llmos.core.names import check_repo_name, name_key, split_repo_name
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.repos.models import Repo, RepoAlias
from llmos.features.repos.policy import check_create, get_repo
from llmos.infra.i18n import lazy

VISIBILITIES = ("public", "private", "protected")


class RepoExists(Conflict):
    """The name is taken; `data` names the holder (`type`, `repo_name`) so that a face can link it."""

    code = "RepoExists"


def parse_repo_type(value: Any) -> RepoType:
    """`None` means model, as the Hub has it; BadRequest for an unknown word."""
    if value is None:
        return RepoType.MODEL
    try:
        return RepoType(value)
    except ValueError as error:
        raise BadRequest(
            lazy("type must be one of %(choices)s, not %(value)r.", choices=", ".join(RepoType), value=value)
        ) from error


def parse_visibility(visibility: Any, private: Any, repo_type: RepoType) -> str | None:
    """The visibility asked for by the new field or by the old boolean; None where neither is given."""
    if visibility is None:
        if private is None:
            return None
        if not isinstance(private, bool):
            raise BadRequest(lazy("private must be true or false."))
        return "private" if private else "public"
    if visibility not in VISIBILITIES:
        raise BadRequest(
            lazy(
                "visibility must be one of %(choices)s, not %(visibility)r.",
                choices=", ".join(VISIBILITIES),
                visibility=visibility,
            )
        )
    if visibility == "protected" and repo_type is not RepoType.SPACE:
        raise BadRequest(lazy("visibility 'protected' is for Spaces only: use 'public' or 'private'."))
    return str(visibility)


def split_new_name(actor: Actor, name: str, organization: str | None) -> tuple[str, str]:
    """The namespace and name a creation asks for; the actor's own namespace by default.

    `name` may also be `namespace/name`, as older clients send it.
    """
    if "/" in name:
        return split_repo_name(name)
    check_repo_name(name)
    return organization or actor.name, name


def access_namespace(db: Session, actor: Actor, name: str, repo_type: RepoType) -> Namespace:
    """The namespace, if the actor may create repositories in it.

    Forbidden (Unauthenticated for visitors) otherwise; a name nobody has gets the same answer.
    """
    if actor.is_anonymous:
        actor.require_user()
    namespace = db.scalar(select(Namespace).where(Namespace.name_key == name_key(name)))
    if namespace is None:
        raise Forbidden(
            lazy(
                "You don't have the rights to create a %(repo_type)s under the namespace %(name)r.",
                repo_type=repo_type,
                name=name,
            )
        )
    check_create(actor, namespace)
    return namespace


def check_free(db: Session, repo_type: RepoType, namespace: Namespace, name: str) -> None:
    """RepoExists when a repository of this type holds the name now. Old names do not count."""
    holder = get_repo(db, repo_type, namespace.name, name)
    if holder is not None:
        raise repo_exists(repo_type, holder.repo_name)


def repo_exists(repo_type: RepoType, repo_name: str) -> RepoExists:
    return RepoExists(
        lazy(
            "A %(repo_type)s repository called %(repo_name)s already exists",
            repo_type=repo_type,
            repo_name=repo_name,
        ),
        data={"type": repo_type.value, "repo_name": repo_name},
    )


def free_alias(db: Session, repo_type: RepoType, namespace: str, name: str) -> None:
    """Forget the old name: a repository takes it now."""
    alias = db.get(RepoAlias, (repo_type.value, f"{name_key(namespace)}/{name_key(name)}"))
    if alias is not None:
        db.delete(alias)


def repo_path(repo_type: RepoType, repo_name: str) -> str:
    """`/datasets/ada/tiny-set`: the address of a repository on this instance."""
    return f"/{repo_type.url_prefix}{repo_name}"


def doc_key(repo: Repo) -> str:
    """The key of a repository's document in the search index."""
    return f"repo:{repo.object_id}"
