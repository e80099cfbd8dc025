"""Create, move and delete buckets, and note which bytes were brought to one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, Conflict, Forbidden, RepoNotFound
from llmos.core.names import check_repo_name, name_key, split_repo_name
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.buckets.models import Bucket, BucketAlias, BucketUpload
from llmos.features.buckets.policy import check_admin, get_bucket
from llmos.features.buckets.queries import held_hashes, used_bytes
from llmos.features.repos.claims import check_room, count_also
from llmos.features.repos.lifecycle import default_visibility
from llmos.features.repos.policy import check_create
from llmos.features.storage.xet.shards import RegisteredFile
from llmos.infra.db.upsert import insert_missing, upsert
from llmos.infra.i18n import lazy
from llmos.infra.queue.outbox import emit
from llmos.infra.runtime import Runtime
from llmos.infra.settings import Settings

VISIBILITIES = ("public", "private")

count_also(used_bytes)


class BucketExists(Conflict):
    """The name is taken; `data["bucket_name"]` is the holder's."""

    code = "BucketExists"

    def __init__(self, bucket_name: str) -> None:
        super().__init__(f"A bucket called {bucket_name} already exists", data={"bucket_name": bucket_name})


def parse_bucket_visibility(visibility: Any, private: Any) -> str | None:
    """The visibility asked for; None where neither field is given. BadRequest names the field."""
    if visibility is None and private is None:
        return None
    if visibility is None:
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
    return str(visibility)


def create_bucket(
    db: Session, actor: Actor, namespace_name: str, name: str, *, visibility: str | None = None
) -> Bucket:
    """Create an empty bucket; `me` is the actor's own namespace.

    Visibility defaults to what the organisation prescribes, else public. Raises BucketExists
    (409), Forbidden or Unauthenticated without the right to create here, BadRequest for a
    malformed name.
    """
    actor.require_user()
    check_repo_name(name)
    namespace = _access_namespace(db, actor, actor.name if namespace_name == "me" else namespace_name)
    holder = get_bucket(db, namespace.name, name)
    if holder is not None:
        raise BucketExists(holder.bucket_name)
    bucket = Bucket(
        namespace=namespace,
        namespace_id=namespace.id,
        name=name,
        name_key=name_key(name),
        visibility=visibility or default_visibility(namespace),
        created_by_id=actor.user_id,
    )
    free_alias(db, namespace.name, name)
    try:
        with db.begin_nested():
            db.add(bucket)
    except IntegrityError as error:
        # Somebody else created the same name between the check and now.
        raise BucketExists(f"{namespace.name}/{name}") from error
    announce(db, actor, "create", bucket)
    return bucket


def _access_namespace(db: Session, actor: Actor, name: str) -> Namespace:
    """The namespace, if the actor may create buckets in it; a name nobody has is refused alike."""
    namespace = db.scalar(select(Namespace).where(Namespace.name_key == name_key(name)))
    if namespace is None:
        raise Forbidden(
            lazy("You don't have the rights to create a bucket under the namespace %(name)r.", name=name)
        )
    check_create(actor, namespace)
    return namespace


def announce(db: Session, actor: Actor, verb: str, bucket: Bucket, **more: Any) -> None:
    """Record and tell what happened: `verb` is create, move, restore or delete."""
    audit.record(db, actor, f"bucket.{verb}", bucket.key, **more)
    payload = {"bucket_id": bucket.id, "bucket_name": bucket.bucket_name, "actor_id": actor.user_id}
    topics = {"create": "BucketCreated", "move": "BucketMoved", "restore": "BucketRestored"}
    emit(db, topics.get(verb, "BucketDeleted"), payload | more)


def set_bucket_visibility(db: Session, actor: Actor, bucket: Bucket, visibility: str) -> None:
    """Raises Forbidden unless the actor administers the bucket."""
    check_admin(actor, bucket)
    if bucket.visibility != visibility:
        bucket.visibility = visibility
        audit.record(db, actor, "bucket.settings", bucket.key, visibility=visibility)


def free_alias(db: Session, namespace_name: str, name: str) -> None:
    """Let an old name of a moved bucket stop leading to it: the name is given away now."""
    key = f"{name_key(namespace_name)}/{name_key(name)}"
    db.execute(delete(BucketAlias).where(BucketAlias.name_key == key))


def move_bucket(db: Session, actor: Actor, settings: Settings, bucket: Bucket, to_name: str) -> None:
    """Give a bucket another name, another namespace or both; the old name is free at once, and leads
    here until somebody takes it.

    Raises BucketExists, Forbidden unless the actor administers the bucket and may create in the
    target namespace, QuotaExceeded where it does not fit there.
    """
    check_admin(actor, bucket)
    namespace_name, name = split_repo_name(to_name, field="toRepo")
    target = bucket.namespace
    if name_key(namespace_name) != target.name_key:
        target = _access_namespace(db, actor, namespace_name)
        check_room(db, settings, target, bucket.size_bytes)
    holder = get_bucket(db, target.name, name)
    if holder is not None and holder.id != bucket.id:
        raise BucketExists(holder.bucket_name)
    old_name = bucket.bucket_name
    free_alias(db, target.name, name)
    if name_key(old_name) != name_key(f"{target.name}/{name}"):
        row = {"name_key": name_key(old_name), "bucket_id": bucket.id, "created_at": clock.now()}
        upsert(db, BucketAlias, [row], keys=["name_key"], update=["bucket_id", "created_at"])
    try:
        with db.begin_nested():
            bucket.namespace, bucket.namespace_id = target, target.id
            bucket.name, bucket.name_key = name, name_key(name)
    except IntegrityError as error:
        raise BucketExists(f"{target.name}/{name}") from error
    announce(db, actor, "move", bucket, old_name=old_name)


def bring_files(rt: Runtime, bucket_id: int, files: Sequence[RegisteredFile]) -> None:
    """Let a bucket put these files under paths: a writer has just registered them for it.

    Raises QuotaExceeded, and RepoNotFound if the bucket is gone. Call it in a thread.
    """
    with rt.database.writing() as db:
        bucket = db.get(Bucket, bucket_id)
        if bucket is None or bucket.deleted_at is not None:
            raise RepoNotFound(lazy("Bucket Not Found: it was deleted meanwhile."))
        held = held_hashes(db, bucket_id, [file.file_hash for file in files])
        new_bytes = sum(file.size_bytes for file in files if file.file_hash not in held)
        if new_bytes:
            check_room(db, rt.settings, bucket.namespace, new_bytes)
        now = clock.now()
        rows = [{"bucket_id": bucket_id, "xet_hash": file.file_hash, "created_at": now} for file in files]
        insert_missing(db, BucketUpload, rows)
