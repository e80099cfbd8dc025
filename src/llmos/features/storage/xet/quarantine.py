"""Take damaged xorbs out of use without losing what is left of them."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

from llmos.core import clock
from llmos.features.storage.xet.models import XetXorb
from llmos.features.storage.xet.xorbs import get_xorb, key_of, lock_xorb
from llmos.infra.runtime import Runtime
from llmos.infra.xet.errors import XetFormatError
from llmos.infra.xet.hashes import from_hex
from llmos.infra.xet.xorb import XorbVerifier

log = logging.getLogger(__name__)

_READ_BYTES = 4 * 1024 * 1024


def is_intact(rt: Runtime, xorb: XetXorb) -> bool:
    """Read the whole object of a stored xorb and check every byte of it."""
    verifier = XorbVerifier()
    key = key_of(xorb)
    try:
        for start in range(0, xorb.packed_bytes, _READ_BYTES):
            verifier.feed(rt.objects.read(key, start, min(start + _READ_BYTES, xorb.packed_bytes)))
        return verifier.finish(from_hex(xorb.xorb_hash)).table().blob == xorb.chunks
    except (XetFormatError, FileNotFoundError):
        return False


def check_stored(rt: Runtime, xorb_hash: str) -> bool:
    """Verify a stored xorb and withdraw it if it is damaged; whether it is fine (or gone).

    The damaged object moves to `quarantine/xorbs/`, so no link handed out earlier reads it any
    more. The row stays and says why files are refused; uploading the same xorb again heals it.
    """
    with rt.database.reading() as db:
        seen = get_xorb(db, xorb_hash)
    if seen is None:
        return True
    intact = is_intact(rt, seen)
    with rt.database.writing() as db:
        lock_xorb(db, xorb_hash)
        row = get_xorb(db, xorb_hash)
        if row is None or row.scrubbed_at != seen.scrubbed_at:
            return True  # healed or removed meanwhile
        row.scrubbed_at = clock.now()
        if not intact:
            row.quarantined_at = clock.now()
            _withdraw(rt, key_of(row))
            log.error("xorb %s is damaged and was put into quarantine", xorb_hash)
    if not intact:
        _mark_file(rt).touch()
    return intact


def damage_mark(rt: Runtime) -> int:
    """Another number since damage was found last on this machine: what was remembered may be wrong."""
    try:
        return _mark_file(rt).stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _mark_file(rt: Runtime) -> Path:
    return rt.settings.home / "damage_found"


def _withdraw(rt: Runtime, key: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        rt.objects.move(key, f"quarantine/{key}")
