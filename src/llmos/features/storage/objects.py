"""Store and find LFS objects: bytes first, verified and durable, then the row."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import Forbidden, Unavailable, Unprocessable
from llmos.features.storage.models import LfsObject
from llmos.infra.db.locks import lock_name
from llmos.infra.db.upsert import upsert
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.files import Content, object_content

LINK_TTL_S = 6 * 3600
_OID = re.compile(r"[0-9a-f]{64}\Z")
_BATCH = 500


class Quarantined(Forbidden):
    """The bytes are kept for inspection and given to nobody."""

    code = "Quarantined"

    def __init__(self, oid: str) -> None:
        super().__init__(f"The object {oid} has been put in quarantine and cannot be used.")


def is_oid(text: object) -> bool:
    return isinstance(text, str) and _OID.match(text) is not None


def object_key(oid: str) -> str:
    return f"lfs/{oid[:2]}/{oid[2:4]}/{oid}"


def lock_object(db: Session, oid: str) -> None:
    """Keep uploads, claims and garbage collection of one object apart until the transaction ends."""
    lock_name(db, f"lfs:{oid}")


def get_lfs_object(db: Session, oid: str) -> LfsObject | None:
    """The object, if it is stored and not in quarantine."""
    found = db.get(LfsObject, oid)
    return None if found is None or found.quarantined_at is not None else found


def get_lfs_objects(db: Session, oids: Iterable[str]) -> dict[str, LfsObject]:
    """Those of `oids` that are stored and not in quarantine."""
    wanted = sorted(set(oids))
    found: dict[str, LfsObject] = {}
    for start in range(0, len(wanted), _BATCH):
        rows = db.scalars(
            select(LfsObject).where(
                LfsObject.oid.in_(wanted[start : start + _BATCH]), LfsObject.quarantined_at.is_(None)
            )
        )
        found.update((row.oid, row) for row in rows)
    return found


def put_lfs_object(rt: Runtime, path: Path, oid: str, size_bytes: int, *, sha256: str) -> None:
    """Keep the file at `path` (on the file system of `tmp_root`) as the object `oid`, durably.

    `sha256` is what the caller computed over exactly these bytes. Runs its own transactions;
    the bytes are stored before the row appears. An object that is there already is only touched.
    Raises Unprocessable for a wrong hash, Quarantined for a blocked object, and Unavailable if
    garbage collection removed the bytes at the same moment (a repeated upload succeeds).
    """
    if sha256 != oid:
        raise Unprocessable(
            lazy(
                "The content's SHA-256 is %(sha256)s, not %(oid)s: nothing was stored.",
                sha256=sha256,
                oid=oid,
            )
        )
    with rt.database.writing() as db:
        lock_object(db, oid)
        db.execute(update(LfsObject).where(LfsObject.oid == oid).values(touched_at=clock.now()))
        known = db.get(LfsObject, oid)
        if known is not None and known.quarantined_at is not None:
            raise Quarantined(oid)
    key = object_key(oid)
    if known is None or rt.objects.head(key) != size_bytes:
        rt.objects.put_file(key, path)
    with rt.database.writing() as db:
        lock_object(db, oid)
        if rt.objects.head(key) != size_bytes:
            raise Unavailable(lazy("The object was being cleaned up at this moment: send it again."))
        now = clock.now()
        row = {"oid": oid, "size_bytes": size_bytes, "created_at": now, "touched_at": now}
        upsert(db, LfsObject, [row], keys=["oid"], update=["touched_at"])


def touch(db: Session, oids: Iterable[str]) -> None:
    """Let the grace before garbage collection start anew."""
    wanted = sorted(set(oids))
    for start in range(0, len(wanted), _BATCH):
        part = wanted[start : start + _BATCH]
        db.execute(update(LfsObject).where(LfsObject.oid.in_(part)).values(touched_at=clock.now()))


def open_object(rt: Runtime, found: LfsObject) -> Content:
    """The object's bytes, ready for a `ContentResponse` or for reading ranges; etag is the oid."""
    return object_content(rt.objects, object_key(found.oid), found.size_bytes, found.oid)


def read_object(rt: Runtime, found: LfsObject, start: int = 0, end: int | None = None) -> bytes:
    """Bytes `start` to `end` (exclusive) in memory; Unavailable if the store has lost them."""
    stop = found.size_bytes if end is None else min(end, found.size_bytes)
    try:
        return rt.objects.read(object_key(found.oid), start, stop)
    except FileNotFoundError as error:
        raise Unavailable(lazy("The stored bytes of object %(oid)s are missing.", oid=found.oid)) from error


def presigned_link(rt: Runtime, oid: str, *, ttl_s: int = LINK_TTL_S) -> str | None:
    """A link straight to the object store, where the instance is set up for that."""
    return rt.objects.presign("GET", object_key(oid), ttl_s=ttl_s)
