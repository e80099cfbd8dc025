"""Who may see and change a collection. `access_collection` is the only door to a private one."""

from __future__ import annotations

import re

from sqlalchemy import ColumnElement, false, or_, select, true
from sqlalchemy.orm import Session

from llmos.core.errors import NotFound
from llmos.core.names import name_key
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.collections.models import Collection
from llmos.features.repos.policy import can_read, can_write, refuse
from llmos.infra.i18n import lazy

_ID = re.compile(r"(?:.*-)?([0-9a-f]{24})")


def access_collection(db: Session, actor: Actor, namespace: str, slug: str) -> Collection:
    """The collection whose slug ends in its id, whatever its title was then. Raises NotFound."""
    match = _ID.fullmatch(slug.lower())
    found = db.scalar(select(Collection).where(Collection.object_id == match[1])) if match else None
    if found is None or found.namespace.name_key != name_key(namespace) or not can_read(actor, found):
        raise NotFound(lazy("There is no such collection, or it is not for you."))
    return found


def visible_collections(actor: Actor) -> ColumnElement[bool]:
    """A condition on `Collection` that holds for exactly those `can_read` allows."""
    if actor.user_id is None:
        return Collection.is_private.is_(False)
    role = true() if actor.is_admin else Collection.namespace_id.in_([actor.user_id, *actor.roles])
    return or_(Collection.is_private.is_(False), role & _token_allows(actor))


def _token_allows(actor: Actor) -> ColumnElement[bool]:
    if actor.token_role != "fineGrained":
        return true()
    targets = {scope.target.lower() for scope in actor.scopes if "repo.read" in scope.verbs}
    if "*" in targets:
        return true()
    owners = select(Namespace.id).where(Namespace.name_key.in_(targets))
    return Collection.namespace_id.in_(owners) if targets else false()


def check_can_change(actor: Actor, collection: Collection) -> None:
    """Members with the write role, and contributors in what they made; Forbidden for others."""
    if not can_write(actor, collection):
        refuse(
            actor,
            f"You may read this collection but not change it: ask an owner of {collection.namespace.name} "
            "for the write role, or use a token with the 'write' role.",
        )
