"""The SQL side of `policy.can_read`: which repositories an actor may know of, in one condition."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, exists, false, or_, true
from sqlalchemy.orm import aliased

from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.repos.models import Repo


def visible_to(actor: Actor) -> ColumnElement[bool]:
    """A condition on `Repo` that holds for exactly the repositories `can_read` allows."""
    return or_(Repo.visibility != "private", private_of(actor))


def private_of(actor: Actor) -> ColumnElement[bool]:
    """A condition on `Repo` that holds for the private ones the actor's role and token open."""
    if actor.user_id is None:
        return false()
    role = true() if actor.is_admin else Repo.namespace_id.in_([actor.user_id, *actor.roles])
    return and_(role, _token_allows(actor))


def _token_allows(actor: Actor) -> ColumnElement[bool]:
    if actor.token_role != "fineGrained":
        return true()
    targets = {scope.target.lower() for scope in actor.scopes if "repo.read" in scope.verbs}
    if "*" in targets:
        return true()
    owner = aliased(Namespace)
    conditions: list[ColumnElement[bool]] = []
    for target in targets:
        kind, colon, repo_name = target.partition(":")
        namespace, _, name = repo_name.partition("/")
        owned = exists().where(owner.id == Repo.namespace_id, owner.name_key == (namespace or kind))
        conditions.append(and_(owned, Repo.type == kind, Repo.name_key == name) if colon else owned)
    return or_(*conditions) if conditions else false()
