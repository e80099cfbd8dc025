"""Remove what nobody uses any more: first a plan to look at, then the deed, checked anew per object."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.features.storage.models import LfsObject, MultipartUpload
from llmos.features.storage.multipart import drop_expired_uploads
from llmos.features.storage.objects import lock_object, object_key
from llmos.features.storage.xet.convert_state import remove_retired
from llmos.features.storage.xet.models import XetConversion
from llmos.infra.runtime import Runtime

References = Callable[[Session, Sequence[str]], set[str]]
"""Which of these objects somebody still uses; told by the features above this one."""

TMP_MAX_AGE_S = 24 * 3600.0
_PAGE = 500


@dataclass(frozen=True, slots=True)
class GcPlan:
    """What `collect` would remove now.

    `oids`: objects without a user for longer than the grace. `stray_keys`: bytes in the store
    without a row, left by a crash between the two.
    """

    oids: list[str]
    stray_keys: list[str]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class GcResult:
    """What was removed; an object that found a user since the plan was made stays."""

    object_count: int
    stray_count: int
    upload_count: int
    tmp_count: int
    size_bytes: int


def plan_gc(db: Session, rt: Runtime, references: References, *, find_strays: bool = True) -> GcPlan:
    """A dry run: reads only. Leave out strays where nobody looks at the plan: with a wrong or empty
    database, every object would be one."""
    cutoff = clock.now() - timedelta(days=rt.settings.gc_grace_days)
    oids: list[str] = []
    size_bytes = 0
    last = ""
    while True:
        rows = db.execute(
            select(LfsObject.oid, LfsObject.size_bytes)
            .where(LfsObject.touched_at < cutoff, LfsObject.oid > last)
            .order_by(LfsObject.oid)
            .limit(_PAGE)
        ).all()
        if not rows:
            break
        last = rows[-1][0]
        used = references(db, [oid for oid, _ in rows])
        unused = [(oid, size) for oid, size in rows if oid not in used]
        oids += [oid for oid, _ in unused]
        size_bytes += sum(size for _, size in unused)
    strays, stray_bytes = _find_strays(db, rt) if find_strays else ([], 0)
    return GcPlan(oids, strays, size_bytes + stray_bytes)


def _find_strays(db: Session, rt: Runtime) -> tuple[list[str], int]:
    oldest = clock.now() - timedelta(seconds=TMP_MAX_AGE_S)
    strays: list[str] = []
    size_bytes = 0
    for meta in rt.objects.list("lfs"):
        oid = meta.key.rsplit("/", 1)[-1]
        if meta.modified_at < oldest and not _is_known(db, oid):
            strays.append(meta.key)
            size_bytes += meta.size_bytes
    return strays, size_bytes


def _is_known(db: Session, oid: str) -> bool:
    """Whether somebody answers for the bytes: their row, or the conversion that has retired it."""
    if db.get(LfsObject, oid) is not None:
        return True
    conversion = db.get(XetConversion, oid)
    return conversion is not None and conversion.state == "retired"


def collect(rt: Runtime, plan: GcPlan, references: References) -> GcResult:
    """Carry out a plan, one short transaction per object, and clean the temporary folder.

    Also removes the plain bytes of objects whose readers have moved to chunks.

    Safe beside uploads and claims: each object is checked again under its lock, and its bytes
    go before its row does, so a crash leaves at most a row that the next run removes.
    """
    removed = [_remove_object(rt, oid, references) for oid in plan.oids]
    strays = sum(_remove_stray(rt, key) for key in plan.stray_keys)
    uploads = drop_expired_uploads(rt)
    return GcResult(
        object_count=sum(size is not None for size in removed),
        stray_count=strays,
        upload_count=uploads,
        tmp_count=clean_tmp(rt),
        size_bytes=sum(size or 0 for size in removed) + remove_retired(rt),
    )


def _remove_object(rt: Runtime, oid: str, references: References) -> int | None:
    cutoff = clock.now() - timedelta(days=rt.settings.gc_grace_days)
    with rt.database.writing() as db:
        lock_object(db, oid)
        found = db.get(LfsObject, oid)
        if found is None or found.touched_at >= cutoff or references(db, [oid]):
            return None
        db.execute(delete(LfsObject).where(LfsObject.oid == oid))
        rt.objects.delete(object_key(oid))
        return found.size_bytes


def _remove_stray(rt: Runtime, key: str) -> bool:
    oid = key.rsplit("/", 1)[-1]
    with rt.database.writing() as db:
        lock_object(db, oid)
        if _is_known(db, oid):
            return False
        rt.objects.delete(key)
        return True


def clean_tmp(rt: Runtime, *, max_age_s: float = TMP_MAX_AGE_S) -> int:
    """Remove temporary files a crash left behind, once nothing can be using them."""
    oldest = time.time() - max_age_s
    removed = 0
    for path in rt.settings.tmp_root.iterdir():
        if path.is_file() and path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)
            removed += 1
    return removed + _clean_multipart(rt, oldest)


def _clean_multipart(rt: Runtime, oldest: float) -> int:
    root: Path = rt.settings.tmp_root / "multipart"
    folders = list(root.iterdir()) if root.is_dir() else []
    with rt.database.reading() as db:
        known = set(db.scalars(select(MultipartUpload.upload_key)))
    removed = 0
    for folder in folders:
        if folder.name not in known and folder.stat().st_mtime < oldest:
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    return removed
