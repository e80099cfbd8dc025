"""Who may do what to a bucket. `access_bucket` is the only door to a private one."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.errors import Forbidden, LlmosError, RepoNotFound, Unauthenticated
from llmos.core.names import name_key
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace, Role
from llmos.features.buckets.models import Bucket
from llmos.features.repos.policy import role_in


def bucket_not_found(actor: Actor, bucket_name: str) -> LlmosError:
    """The one answer for "does not exist" and "not for you"; 401 for a visitor, who may sign in."""
    message = f"Bucket Not Found: there is no bucket {bucket_name!r} that you can see."
    if actor.is_anonymous:
        return RepoNotFound(message + " If it is private, sign in or send an access token.", status=401)
    return RepoNotFound(message)


def get_bucket(db: Session, namespace: str, name: str) -> Bucket | None:
    """The row by its name, in any case; says nothing about access."""
    statement = (
        select(Bucket)
        .join(Bucket.namespace)
        .where(Namespace.name_key == name_key(namespace), Bucket.name_key == name_key(name))
    )
    return db.scalars(statement).unique().one_or_none()


def access_bucket(db: Session, actor: Actor, namespace: str, name: str) -> Bucket:
    """The bucket, if the actor may know that it exists; `me` stands for the actor's own namespace.

    Raises RepoNotFound (401 for visitors) otherwise.
    """
    owner = actor.name if namespace == "me" and actor.name else namespace
    bucket = get_bucket(db, owner, name)
    if bucket is None or not can_read(actor, bucket):
        raise bucket_not_found(actor, f"{namespace}/{name}")
    return bucket


def can_read(actor: Actor, bucket: Bucket) -> bool:
    if not bucket.is_private:
        return True
    if role_in(actor, bucket.namespace) is None:
        return False
    return actor.allows("repo.read", bucket.namespace.name, bucket.key)


def can_write(actor: Actor, bucket: Bucket) -> bool:
    """May change files: members with `write`, and contributors in what they created."""
    role = role_in(actor, bucket.namespace)
    if role is None or not actor.allows("repo.write", bucket.namespace.name, bucket.key):
        return False
    if role is Role.CONTRIBUTOR:
        return bucket.created_by_id == actor.user_id
    return role.rank >= Role.WRITE.rank


def can_admin(actor: Actor, bucket: Bucket) -> bool:
    """May rename, move, delete and change visibility."""
    role = role_in(actor, bucket.namespace)
    if role is None or not actor.allows("repo.write", bucket.namespace.name, bucket.key):
        return False
    is_own = bucket.created_by_id == actor.user_id
    return role is Role.ADMIN or (is_own and role in (Role.WRITE, Role.CONTRIBUTOR))


def check_write(actor: Actor, bucket: Bucket) -> None:
    """Forbidden (or Unauthenticated for visitors) unless the actor may change files."""
    if not can_write(actor, bucket):
        _refuse(
            actor,
            f"You may read {bucket.bucket_name} but not write to it: ask an owner for the write role, "
            "or use a token with the 'write' role.",
        )


def check_admin(actor: Actor, bucket: Bucket) -> None:
    if not can_admin(actor, bucket):
        _refuse(
            actor,
            f"Only an admin of {bucket.namespace.name} may change the settings of {bucket.bucket_name}.",
        )


def _refuse(actor: Actor, message: str) -> None:
    if actor.is_anonymous:
        raise Unauthenticated("Sign in, or send an access token, to do this.")
    raise Forbidden(message)
