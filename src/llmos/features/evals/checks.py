"""Whether the key of the instance is there, is kept well, and is the one its log was signed with."""

from __future__ import annotations

import stat
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from llmos.features.evals.evidence import read_payload
from llmos.features.evals.instances import OWN
from llmos.features.evals.log import count_entries
from llmos.features.evals.models import LogEntry
from llmos.infra.runtime import Runtime
from llmos.infra.security.instance_key import instance_key_path
from llmos.records.errors import RecordError
from llmos.records.keys import load_private_key
from llmos.records.merkle import leaf_hash

# As many of the newest entries are read whole.
NEWEST = 100


@dataclass(frozen=True)
class KeyState:
    """`state` is ok, warn or fail; `mend` says what to do."""

    state: str
    detail: str
    mend: str = ""


def examine_key(rt: Runtime) -> KeyState:
    """What is wrong with the key or the log first; the key's name and the log's size where nothing is."""
    path = instance_key_path(rt.settings)
    try:
        with rt.database.reading() as db:
            size, signed_by = count_entries(db), _last_signer(db)
            broken = _broken_entry(db, size)
    except SQLAlchemyError as error:
        return KeyState("fail", f"the log cannot be read: {str(error).splitlines()[0]}")
    restore = f"Put {path} back from the backup that belongs to this database."
    if not path.exists() and signed_by:
        return KeyState("fail", f"{path} is gone; it has signed {size} records", restore)
    if not path.exists():
        return KeyState("ok", "is made when it is first needed")
    try:
        keyid = load_private_key(path.read_bytes(), name=str(path)).public.keyid
    except (RecordError, OSError) as error:
        return KeyState("fail", f"{path} cannot be read: {error}", restore)
    found = KeyState("ok", f"{keyid[:16]}, {size} records in the log")
    if broken is not None:
        found = KeyState("fail", f"entry {broken} of the log is gone or changed", "llmos restore BACKUP")
    if signed_by not in ("", keyid):
        detail = f"the log was signed by {signed_by[:16]}, this key is {keyid[:16]}"
        found = KeyState("fail", detail, restore)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        found = KeyState("fail", f"{path} can be read by others", f"chmod 600 {path}")
    return found


def _last_signer(db: Session) -> str:
    """The key of this instance's newest entry; empty where there is none."""
    newest = select(LogEntry.keyid).where(LogEntry.signer_name == OWN).order_by(LogEntry.leaf_index.desc())
    return db.scalar(newest.limit(1)) or ""


def _broken_entry(db: Session, size: int) -> int | None:
    """The first entry that is missing, or of the newest ones the first whose leaf is not its content's."""
    count = db.scalar(select(func.count()).select_from(LogEntry)) or 0
    if count != size:
        known = set(db.scalars(select(LogEntry.leaf_index)))
        return next(index for index in range(size) if index not in known)
    newest = select(LogEntry).order_by(LogEntry.leaf_index.desc()).limit(NEWEST)
    for entry in db.scalars(newest):
        try:
            payload = read_payload(entry.envelope)
        except (RecordError, ValueError):
            return entry.leaf_index
        if leaf_hash(payload).hex() != entry.leaf_hash:
            return entry.leaf_index
    return None
