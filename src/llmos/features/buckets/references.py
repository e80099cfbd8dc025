"""What keeps Xet files from being collected: claims of repositories, and files of buckets.

Garbage collection is started from here and nowhere below, as only this room knows of both.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.features.buckets.models import BucketFile
from llmos.features.repos.xet_claims import claimed_files
from llmos.features.storage.xet.gc import collect_xet, plan_xet_gc
from llmos.infra.runtime import Runtime

_BATCH = 500


def referenced_files(db: Session, xet_hashes: Sequence[str]) -> set[str]:
    """Which of these Xet files a repository or a bucket uses; what garbage collection asks."""
    found = claimed_files(db, xet_hashes)
    for start in range(0, len(xet_hashes), _BATCH):
        part = xet_hashes[start : start + _BATCH]
        found.update(db.scalars(select(BucketFile.xet_hash).where(BucketFile.xet_hash.in_(part)).distinct()))
    return found


def collect_unclaimed(rt: Runtime) -> int:
    """Mark and remove what nobody uses any more (see `storage.xet.gc`); bytes freed.

    Objects without a row are left to `llmos gc`, which somebody looks at.
    """
    plan = plan_xet_gc(rt, referenced_files, find_strays=False)
    return collect_xet(rt, plan, referenced_files)
