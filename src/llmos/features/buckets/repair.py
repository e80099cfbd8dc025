"""What `llmos doctor` checks of buckets."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import func, select

from llmos.features.buckets.models import Bucket, BucketFile
from llmos.features.repos.repair import Problem
from llmos.infra.runtime import Runtime


def find_bucket_problems(rt: Runtime, *, repair: bool) -> Iterator[Problem]:
    """Buckets whose counted files or bytes are not those they have; with `repair`, counted anew."""
    with rt.database.reading() as db:
        ids = db.scalars(select(Bucket.id).order_by(Bucket.id)).all()
    for bucket_id in ids:
        problem = _recount(rt, bucket_id, repair=False)
        if problem is not None:
            yield (_recount(rt, bucket_id, repair=True) or problem) if repair else problem


def _recount(rt: Runtime, bucket_id: int, *, repair: bool) -> Problem | None:
    with rt.database.writing() if repair else rt.database.reading() as db:
        # Locked as by a batch, so that none is under way between the count and the change.
        lock = {"of": Bucket} if repair else None
        bucket = db.get(Bucket, bucket_id, with_for_update=lock)
        if bucket is None:
            return None
        columns = select(func.count(), func.coalesce(func.sum(BucketFile.size_bytes), 0))
        count, size_bytes = db.execute(columns.where(BucketFile.bucket_id == bucket_id)).one()
        if (bucket.file_count, bucket.size_bytes) == (count, int(size_bytes)):
            return None
        detail = (
            f"says {bucket.file_count} files of {bucket.size_bytes} bytes, has {count} of {int(size_bytes)}"
        )
        name = bucket.bucket_name
        if repair:
            bucket.file_count, bucket.size_bytes = count, int(size_bytes)
    return Problem("bucket", name, detail, repair)
