"""Whether this machine's clock is right, judged by every other clock within reach.

Tokens, signed links and sessions end by the clock; an S3 server refuses requests signed more than
fifteen minutes off.
"""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError

from llmos.core.clock import to_json
from llmos.features.accounts.models import AuditEvent
from llmos.infra.runtime import Runtime

# Network and rounding to full seconds (HTTP dates) make up less than this.
MAX_SKEW_S = 5
PROBE_LIMIT_S = 5
MEND = "Set the clock: timedatectl set-ntp true"


def list_clock_problems(rt: Runtime) -> Iterator[tuple[str, str]]:
    """What is wrong with the clock and how to mend it; nothing where all clocks agree."""
    if time.gmtime(time.time()).tm_year < 2025:
        yield f"the clock says {time.ctime(time.time())}", MEND
    for name, read in (("file system", _disk_s), ("database", _database_s), ("object store", _store_s)):
        before_s = time.time()
        other_s = read(rt)
        if other_s is None:
            continue
        # The other clock was read at some moment between these two.
        ahead_s = other_s - min(max(other_s, before_s), time.time())
        if abs(ahead_s) > MAX_SKEW_S:
            side = "ahead of" if ahead_s > 0 else "behind"
            yield f"the {name}'s clock is {abs(ahead_s):.0f} s {side} this machine's", f"{MEND} (on both)"
    yield from _went_back(rt)


def _disk_s(rt: Runtime) -> float:
    probe = rt.settings.tmp_root / f"clock-{os.getpid()}"
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()


def _database_s(rt: Runtime) -> float | None:
    if rt.database.is_sqlite:
        return None
    try:
        with rt.database.reading() as db:
            return float(db.scalar(text("SELECT extract(epoch FROM clock_timestamp())")) or 0)
    except SQLAlchemyError:
        return None  # another check says what is wrong with the database


def _store_s(rt: Runtime) -> float | None:
    """The `Date` of any answer of the S3 server; it need not let us in."""
    if not rt.settings.storage_endpoint:
        return None
    request = urllib.request.Request(rt.settings.storage_endpoint, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=PROBE_LIMIT_S) as answer:
            date = answer.headers["Date"]
    except urllib.error.HTTPError as refused:
        date = refused.headers["Date"]
    except OSError:
        return None
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except ValueError:
        return None


def _went_back(rt: Runtime) -> Iterator[tuple[str, str]]:
    """What was written here cannot be from the future."""
    try:
        with rt.database.reading() as db:
            newest = db.scalar(select(AuditEvent.at).order_by(AuditEvent.id.desc()).limit(1))
    except SQLAlchemyError:
        return
    if newest is not None and newest.timestamp() - time.time() > MAX_SKEW_S:
        yield f"the clock went back: the audit trail has an entry of {to_json(newest)}", MEND
