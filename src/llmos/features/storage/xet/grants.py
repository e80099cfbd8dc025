"""Grants: a client puts a xorb straight into the object store, and asks to have it counted.

What arrives lies under `incoming/`, where nothing is read from. To count it, the object is copied
to a name that its sender cannot write to, that copy is read back and checked byte by byte, and then
copied to its place: so a link that is used again later changes nothing.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from weakref import WeakKeyDictionary

from llmos.core import clock
from llmos.core.errors import NotFound
from llmos.features.storage.xet.xorbs import keep_xorb
from llmos.infra.db.engine import Database
from llmos.infra.runtime import Runtime
from llmos.infra.xet.chunks import MAX_XORB_BYTES
from llmos.infra.xet.errors import XetFormatError
from llmos.infra.xet.hashes import from_hex
from llmos.infra.xet.xorb import ParsedXorb, XorbVerifier

GRANT_TTL_S = 3600
MAX_OPEN_GRANTS = 256
# Longer than any link works, so that nothing goes that may still be asked for.
INCOMING_AGE = timedelta(hours=6)
_READ_BYTES = 4 * 1024 * 1024
_INCOMING = "incoming"
_ID = re.compile(r"[0-9a-f]{32}\Z")
_lock = threading.Lock()
_open: WeakKeyDictionary[Database, dict[int, dict[str, float]]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class XorbGrant:
    """Permission to put one xorb at `url` within the hour; `grant_id` is named when it is there."""

    grant_id: str
    url: str


def offer_grant(rt: Runtime, xorb_hash: str, scope_id: int, size_bytes: int) -> XorbGrant | None:
    """A link to put the xorb, so many bytes long, straight into the object store; None where the
    store gives no links, or where the namespace holds too many that it has not used.

    Raises XetFormatError if `xorb_hash` is no hash.
    """
    from_hex(xorb_hash)
    grant_id = secrets.token_hex(16)
    key = _incoming_key(xorb_hash, scope_id, grant_id)
    url = rt.objects.presign("PUT", key, ttl_s=GRANT_TTL_S, size_bytes=size_bytes)
    if url is None or not _note_open(rt, scope_id, grant_id):
        return None
    return XorbGrant(grant_id, url)


def _note_open(rt: Runtime, scope_id: int, grant_id: str) -> bool:
    """Whether one more link may be out. Bytes nobody asks to count are in no quota; so few may be on
    their way at once."""
    now_s = time.monotonic()
    with _lock:
        held = _open.setdefault(rt.database, {}).setdefault(scope_id, {})
        for old in [key for key, until_s in held.items() if until_s <= now_s]:
            del held[old]
        if len(held) >= MAX_OPEN_GRANTS:
            return False
        held[grant_id] = now_s + GRANT_TTL_S
        return True


def commit_grant(rt: Runtime, xorb_hash: str, scope_id: int, grant_id: str) -> bool:
    """Check what was put and keep it; whether it is new to the scope.

    Raises NotFound where nothing was put under this grant of this scope, XetFormatError for
    anything but the xorb of this name (which is then removed), and Unavailable as uploads do.
    Takes a few seconds: call it in a thread.
    """
    expected = from_hex(xorb_hash)
    with _lock:
        _open.get(rt.database, {}).get(scope_id, {}).pop(grant_id, None)
    arrived = _incoming_key(xorb_hash, scope_id, grant_id) if _ID.match(grant_id) else None
    size_bytes = rt.objects.head(arrived) if arrived else None
    if arrived is None or size_bytes is None:
        raise NotFound("Nothing has been put under this grant: ask for another one.")
    checked = f"{_INCOMING}/checked-{secrets.token_hex(16)}"
    try:
        if size_bytes > MAX_XORB_BYTES:
            raise XetFormatError(f"A xorb has at most {MAX_XORB_BYTES} bytes.")
        rt.objects.copy(arrived, checked)
        parsed = _verify(rt, checked, expected)
        is_new = keep_xorb(
            rt, xorb_hash, parsed, scope_id, publish=lambda key: _publish(rt, checked, key, parsed)
        )
    except XetFormatError:
        rt.objects.delete(arrived)
        raise
    finally:
        rt.objects.delete(checked)
    rt.objects.delete(arrived)
    return is_new


def drop_stale_grants(rt: Runtime) -> int:
    """Remove what was put under grants that nobody committed, and what a crash left; how many."""
    oldest = clock.now() - INCOMING_AGE
    stale = [meta.key for meta in rt.objects.list(_INCOMING) if meta.modified_at < oldest]
    for key in stale:
        rt.objects.delete(key)
    return len(stale)


def _incoming_key(xorb_hash: str, scope_id: int, grant_id: str) -> str:
    return f"{_INCOMING}/{xorb_hash}.{scope_id}.{grant_id}"


def _verify(rt: Runtime, key: str, expected: bytes) -> ParsedXorb:
    verifier = XorbVerifier()
    size_bytes = rt.objects.head(key) or 0
    for start in range(0, min(size_bytes, MAX_XORB_BYTES + 1), _READ_BYTES):
        verifier.feed(rt.objects.read(key, start, min(start + _READ_BYTES, size_bytes)))
    return verifier.finish(expected)


def _publish(rt: Runtime, checked: str, key: str, parsed: ParsedXorb) -> None:
    if rt.objects.head(checked) == parsed.packed_bytes:
        rt.objects.copy(checked, key)
    else:
        # A footer follows the chunks; objects are kept without.
        rt.objects.put_bytes(key, rt.objects.read(checked, 0, parsed.packed_bytes))
