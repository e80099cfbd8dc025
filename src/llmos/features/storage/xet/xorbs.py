"""Take in a xorb: every byte checked as it arrives, the object durable before its row."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import Unavailable
from llmos.features.storage.xet.models import XetXorb, XetXorbScope
from llmos.features.storage.xet.tables import layout_of, xorb_key
from llmos.infra.db.locks import lock_name
from llmos.infra.db.upsert import insert_missing, upsert
from llmos.infra.runtime import Runtime
from llmos.infra.xet.hashes import Buffer, from_hex
from llmos.infra.xet.xorb import ParsedXorb, XorbVerifier

_BATCH = 500


class XorbUpload:
    """One xorb on its way in, as a context manager that leaves no temporary file behind.

    `feed` the body in order, then `finish`; one thread at a time. Memory stays at one chunk:
    the bytes go to a temporary file and are decoded and hashed as they pass.
    """

    def __init__(self, rt: Runtime, xorb_hash: str, scope_id: int) -> None:
        """Raises XetFormatError if `xorb_hash` is no hash."""
        self._rt = rt
        self._expected = from_hex(xorb_hash)
        self._xorb_hash = xorb_hash
        self._scope_id = scope_id
        self._verifier = XorbVerifier()
        self._path: Path = rt.settings.tmp_root / f"xorb-{os.getpid()}-{secrets.token_hex(8)}"
        self._file = self._path.open("xb", buffering=0)

    def __enter__(self) -> XorbUpload:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def feed(self, data: Buffer) -> None:
        """Take the next bytes. Raises XetFormatError as soon as they are no xorb."""
        self._verifier.feed(data)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def finish(self) -> bool:
        """Keep the xorb durably; whether it is new to the scope.

        Raises XetFormatError if the content does not hash to its name, Unavailable if garbage
        collection removed it at the same moment (a repeated upload succeeds). A xorb that is
        stored already is kept as it is, unless it was quarantined: then this copy heals it.
        """
        parsed = self._verifier.finish(self._expected)
        self._file.truncate(parsed.packed_bytes)
        self._file.close()
        return keep_xorb(
            self._rt,
            self._xorb_hash,
            parsed,
            self._scope_id,
            publish=lambda key: self._rt.objects.put_file(key, self._path),
        )


def lock_xorb(db: Session, xorb_hash: str) -> None:
    """Keep uploads, shards and garbage collection of one xorb apart until the transaction ends."""
    lock_name(db, f"xorb:{xorb_hash}")


def keep_xorb(
    rt: Runtime, xorb_hash: str, parsed: ParsedXorb, scope_id: int, *, publish: Callable[[str], None]
) -> bool:
    """Store a verified xorb under its name; whether it is new to the scope.

    `publish` makes the object durable under the key it is given; it is not called for one that is
    stored already. Raises Unavailable if garbage collection removed it at the same moment.
    """
    chunks = parsed.table().blob
    with rt.database.writing() as db:
        lock_xorb(db, xorb_hash)
        touch_xorbs(db, [xorb_hash])
        known = get_xorb(db, xorb_hash)
    if known is None or rt.objects.head(key_of(known)) != known.packed_bytes:
        known = None
        publish(xorb_key(xorb_hash, layout_of(chunks)))
    with rt.database.writing() as db:
        lock_xorb(db, xorb_hash)
        if known is None:
            _write_row(db, xorb_hash, parsed, chunks)
        row = db.get_one(XetXorb, xorb_hash) if known is None else get_xorb(db, xorb_hash)
        if row is None or rt.objects.head(key_of(row)) != row.packed_bytes:
            raise Unavailable("The xorb was being cleaned up at this moment: send it again.")
        scope = {"xorb_hash": xorb_hash, "scope_id": scope_id, "is_pending": True}
        return insert_missing(db, XetXorbScope, [scope]) > 0


def _write_row(db: Session, xorb_hash: str, parsed: ParsedXorb, chunks: bytes) -> None:
    now = clock.now()
    row = {
        "xorb_hash": xorb_hash,
        "chunks": chunks,
        "layout": layout_of(chunks),
        "raw_bytes": parsed.raw_bytes,
        "packed_bytes": parsed.packed_bytes,
        "created_at": now,
        "touched_at": now,
        "doomed_at": None,
        "scrubbed_at": now,
        "quarantined_at": None,
    }
    changed = [name for name in row if name not in ("xorb_hash", "created_at")]
    upsert(db, XetXorb, [row], keys=["xorb_hash"], update=changed)


def key_of(xorb: XetXorb) -> str:
    """Key of a stored xorb's object."""
    return xorb_key(xorb.xorb_hash, xorb.layout)


def get_xorb(db: Session, xorb_hash: str) -> XetXorb | None:
    """The xorb, if it is stored and not in quarantine."""
    found = db.get(XetXorb, xorb_hash)
    return None if found is None or found.quarantined_at is not None else found


def offer_known(rt: Runtime, xorb_hash: str, scope_id: int) -> bool:
    """Whether the namespace need not send this xorb, which is then kept for a new grace.

    Says nothing about what other namespaces have stored.
    """
    with rt.database.reading() as db:
        scoped = db.get(XetXorbScope, (xorb_hash, scope_id))
        if scoped is None or get_xorb(db, xorb_hash) is None:
            return False
    with rt.database.writing() as db:
        lock_xorb(db, xorb_hash)
        touch_xorbs(db, [xorb_hash])
        return get_xorb(db, xorb_hash) is not None


def touch_xorbs(db: Session, xorb_hashes: Iterable[str]) -> None:
    """Let the grace before garbage collection start anew; takes back a coming removal."""
    wanted = sorted(set(xorb_hashes))
    for start in range(0, len(wanted), _BATCH):
        part = wanted[start : start + _BATCH]
        statement = update(XetXorb).where(XetXorb.xorb_hash.in_(part))
        db.execute(statement.values(touched_at=clock.now(), doomed_at=None))


def keep_xorbs(db: Session, xorb_hashes: Iterable[str]) -> bool:
    """`touch_xorbs` for what is about to be relied on; whether all of it is stored and undamaged.

    In this order: what garbage collection has not removed by the touch it leaves alone from then on.
    """
    wanted = sorted(set(xorb_hashes))
    touch_xorbs(db, wanted)
    found = 0
    for start in range(0, len(wanted), _BATCH):
        statement = select(func.count()).where(
            XetXorb.xorb_hash.in_(wanted[start : start + _BATCH]), XetXorb.quarantined_at.is_(None)
        )
        found += db.scalar(statement) or 0
    return found == len(wanted)


def add_scope(db: Session, xorb_hashes: Iterable[str], scope_id: int) -> None:
    """Record that the namespace knows all of these stored xorbs: it may be told what they hold."""
    rows = [
        {"xorb_hash": name, "scope_id": scope_id, "is_pending": False} for name in sorted(set(xorb_hashes))
    ]
    insert_missing(db, XetXorbScope, rows)


def mark_used(db: Session, xorb_hashes: Iterable[str], scope_id: int) -> None:
    """Record that a file of the namespace uses these xorbs now; see `pending_bytes`."""
    wanted = sorted(set(xorb_hashes))
    for start in range(0, len(wanted), _BATCH):
        part = wanted[start : start + _BATCH]
        statement = update(XetXorbScope).where(
            XetXorbScope.scope_id == scope_id, XetXorbScope.xorb_hash.in_(part)
        )
        db.execute(statement.values(is_pending=False))


def pending_bytes(db: Session, scope_id: int) -> int:
    """Bytes of xorbs that a namespace has sent and that no file of it uses yet."""
    statement = (
        select(func.coalesce(func.sum(XetXorb.packed_bytes), 0))
        .join(XetXorbScope, XetXorbScope.xorb_hash == XetXorb.xorb_hash)
        .where(XetXorbScope.scope_id == scope_id, XetXorbScope.is_pending.is_(True))
    )
    return int(db.scalar(statement) or 0)
