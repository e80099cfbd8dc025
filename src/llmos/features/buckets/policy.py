"""Who may do what to a bucket. `access_bucket` is the only door to a private one."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.errors import LlmosError, RepoNotFound
from llmos.core.names import name_key
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.buckets.models import Bucket, BucketAlias
from llmos.features.repos.policy import RepoMoved, can_admin, can_read, can_write, refuse
from llmos.infra.i18n import lazy


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
        .where(
            Namespace.name_key == name_key(namespace),
            Bucket.name_key == name_key(name),
            Bucket.deleted_at.is_(None),
        )
    )
    return db.scalars(statement).unique().one_or_none()


def _get_moved(db: Session, namespace: str, name: str) -> Bucket | None:
    alias = db.get(BucketAlias, f"{name_key(namespace)}/{name_key(name)}")
    bucket = db.get(Bucket, alias.bucket_id) if alias else None
    return bucket if bucket is not None and bucket.deleted_at is None else None


def access_bucket(db: Session, actor: Actor, namespace: str, name: str) -> Bucket:
    """The bucket, if the actor may know that it exists; `me` stands for the actor's own namespace.

    Raises RepoMoved when the name is an old one of a bucket the actor may see, and RepoNotFound
    (401 for visitors) otherwise.
    """
    owner = actor.name if namespace == "me" and actor.name else namespace
    bucket = get_bucket(db, owner, name)
    if bucket is None:
        moved = _get_moved(db, owner, name)
        if moved is not None and can_read(actor, moved):
            raise RepoMoved(
                lazy("This bucket is now %(name)s.", name=moved.bucket_name),
                data={"repo_name": moved.bucket_name, "old_path_name": f"{namespace}/{name}"},
            )
    if bucket is None or not can_read(actor, bucket):
        raise bucket_not_found(actor, f"{namespace}/{name}")
    return bucket


def check_write(actor: Actor, bucket: Bucket) -> None:
    """Forbidden (or Unauthenticated for visitors) unless the actor may change files."""
    if not can_write(actor, bucket):
        refuse(
            actor,
            f"You may read {bucket.bucket_name} but not write to it: ask an owner for the write role, "
            "or use a token with the 'write' role.",
        )


def check_admin(actor: Actor, bucket: Bucket) -> None:
    if not can_admin(actor, bucket):
        refuse(
            actor,
            f"Only an admin of {bucket.namespace.name} may change the settings of {bucket.bucket_name}.",
        )
