"""Delete buckets, bring them back within seven days, and purge them after that."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import NotFound
from llmos.core.names import check_repo_name, name_key
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.buckets.models import Bucket, BucketFile
from llmos.features.buckets.policy import check_admin
from llmos.features.buckets.service import BucketExists, announce, free_alias
from llmos.features.repos.claims import check_room
from llmos.features.repos.policy import can_admin, check_create
from llmos.features.storage.xet.tables import touch_files
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.settings import Settings

KEEP_DELETED = timedelta(days=7)


def delete_bucket(db: Session, actor: Actor, bucket: Bucket) -> None:
    """Delete a bucket: its name is free at once, its files are kept for KEEP_DELETED.

    Raises Forbidden unless the actor administers it.
    """
    check_admin(actor, bucket)
    announce(db, actor, "delete", bucket)
    bucket.deleted_at = clock.now()
    bucket.name_key = f"~{bucket.object_id}"
    db.flush()


def list_deleted_buckets(db: Session, actor: Actor, namespace: Namespace) -> list[Bucket]:
    """What can still be brought back in a namespace, newest first. Forbidden without the right to
    create there; the actor sees those they administer."""
    check_create(actor, namespace)
    is_deleted = (Bucket.namespace_id == namespace.id) & Bucket.deleted_at.is_not(None)
    found = db.scalars(select(Bucket).where(is_deleted).order_by(Bucket.deleted_at.desc())).unique()
    return [bucket for bucket in found if can_admin(actor, bucket)]


def restore_bucket(
    db: Session, actor: Actor, settings: Settings, object_id: str, *, new_name: str | None = None
) -> Bucket:
    """Undo a deletion, under the old name or a new one.

    Raises NotFound when there is nothing (left) to restore or the actor has no right to it,
    BucketExists when the name was taken since, QuotaExceeded when its files no longer fit.
    """
    bucket = db.scalars(select(Bucket).where(Bucket.object_id == object_id)).unique().one_or_none()
    if bucket is None or bucket.deleted_at is None or not can_admin(actor, bucket):
        raise NotFound(lazy("There is no deleted bucket of this id to bring back."))
    name = check_repo_name(new_name or bucket.name)
    check_room(db, settings, bucket.namespace, bucket.size_bytes)
    free_alias(db, bucket.namespace.name, name)
    try:
        with db.begin_nested():
            bucket.name, bucket.name_key, bucket.deleted_at = name, name_key(name), None
    except IntegrityError as error:
        raise BucketExists(f"{bucket.namespace.name}/{name}") from error
    announce(db, actor, "restore", bucket)
    return bucket


def purge_deleted_buckets(rt: Runtime) -> int:
    """Remove the buckets whose time has come; how many. The grace of their bytes begins then."""
    due = select(Bucket.id).where(Bucket.deleted_at <= clock.now() - KEEP_DELETED)
    with rt.database.reading() as db:
        ids = db.scalars(due).all()
    for bucket_id in ids:
        with rt.database.writing() as db:
            touch_files(db, db.scalars(select(BucketFile.xet_hash).where(BucketFile.bucket_id == bucket_id)))
            db.execute(delete(Bucket).where(Bucket.id == bucket_id, Bucket.deleted_at.is_not(None)))
    return len(ids)
