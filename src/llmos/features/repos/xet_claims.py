"""Which repository may read which Xet file, and under which SHA-256.

A commit names a large file by its SHA-256 only, so whoever registers a file also says its digest.
Small files are hashed before the claim is made. Larger ones are claimed at once, so that no
uploader waits, and hashed in the background soon after: a false digest then loses its claim. It
could only ever have misled readers of the repository that its own writer put it in.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import LlmosError, NotFound, RepoNotFound
from llmos.features.repos.claims import check_room, count_also, get_claims
from llmos.features.repos.models import Repo, RepoLfsClaim
from llmos.features.storage.xet.digests import digest_file, digest_files
from llmos.features.storage.xet.models import XetFile
from llmos.features.storage.xet.shards import RegisteredFile
from llmos.features.storage.xet.tables import XetQuarantined
from llmos.features.storage.xet.xorbs import pending_bytes
from llmos.infra.db.locks import lock_name
from llmos.infra.db.upsert import upsert
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.xet.errors import XetFormatError

log = logging.getLogger(__name__)

# What was sent and is in no file yet takes room like any file; else nobody would limit it.
count_also(pending_bytes)

INLINE_BYTES = 32 * 1024 * 1024
_BATCH = 500


@dataclass(frozen=True, slots=True)
class _Claim:
    oid: str
    file: RegisteredFile
    is_verified: bool


def claim_files(
    rt: Runtime,
    repo_id: int,
    files: Sequence[RegisteredFile],
    advance: Callable[[int], None] | None = None,
) -> None:
    """Let a repository use the files that a writer has just registered for it; all or none.

    Hashes up to `INLINE_BYTES` of them first, and any whose digest the client left out or that
    contradicts an earlier, unverified claim. Raises XetFormatError for a false digest,
    QuotaExceeded, and RepoNotFound if the repository is gone. Call it in a thread.
    """
    oids = [file.claimed_sha256 for file in files if file.claimed_sha256]
    with rt.database.reading() as db:
        held = get_claims(db, repo_id, oids)
        rivals = {oid for oid, row in held.items() if row.xet_hash}
    budget_bytes = INLINE_BYTES
    waiting: list[str] = []
    for file in files:
        row = held.get(file.claimed_sha256 or "")
        is_rival = row is not None and row.oid in rivals and row.xet_hash != file.file_hash
        if file.sha256 is None and (not file.claimed_sha256 or is_rival or file.size_bytes <= budget_bytes):
            budget_bytes -= min(file.size_bytes, budget_bytes)
            waiting.append(file.file_hash)
    made = digest_files(rt, waiting, advance)
    claims = [_checked(replace(file, sha256=made.get(file.file_hash, file.sha256))) for file in files]
    with rt.database.writing() as db:
        _write(db, rt, repo_id, claims)


def _checked(file: RegisteredFile) -> _Claim:
    said, found = file.claimed_sha256, file.sha256
    if said and found and said != found:
        raise XetFormatError(f"The shard says that file {file.file_hash} has SHA-256 {said}; it is {found}.")
    oid = found or said
    assert oid is not None
    return _Claim(oid, file, found is not None)


def _write(db: Session, rt: Runtime, repo_id: int, claims: Sequence[_Claim]) -> None:
    # Of two shards that say the same digest of different files, the second must see the first.
    lock_name(db, f"claims:{repo_id}")
    repo = db.get(Repo, repo_id)
    if repo is None:
        raise RepoNotFound(lazy("Repository Not Found: it was deleted meanwhile."))
    held = get_claims(db, repo_id, [item.oid for item in claims])
    new_sizes = {item.oid: item.file.size_bytes for item in claims if item.oid not in held}
    if new_sizes:
        check_room(db, rt.settings, repo.namespace, sum(new_sizes.values()))
    rows = {
        item.oid: {
            "repo_id": repo_id,
            "oid": item.oid,
            "size_bytes": item.file.size_bytes,
            "xet_hash": item.file.file_hash,
            "created_at": clock.now(),
        }
        for item in sorted(claims, key=lambda item: (item.oid, item.is_verified))
        if item.oid not in held or _may_replace(db, held[item.oid], item)
    }
    upsert(db, RepoLfsClaim, list(rows.values()), keys=["repo_id", "oid"], update=["xet_hash", "size_bytes"])


def _may_replace(db: Session, row: RepoLfsClaim, item: _Claim) -> bool:
    """A verified file may take the place of an unverified one, or stand beside a plain object."""
    if not item.is_verified or row.xet_hash == item.file.file_hash:
        return False
    if row.xet_hash is None:
        return True
    return db.scalar(select(XetFile.sha256).where(XetFile.file_hash == row.xet_hash)) != item.oid


def check_reachable(db: Session, repo_id: int, file_hash: str) -> None:
    """NotFound unless the repository has claimed this Xet file."""
    statement = select(RepoLfsClaim.oid).where(
        RepoLfsClaim.repo_id == repo_id, RepoLfsClaim.xet_hash == file_hash
    )
    if db.scalars(statement.limit(1)).first() is None:
        raise NotFound(lazy("There is no file %(file_hash)s in this repository.", file_hash=file_hash))


def claimed_files(db: Session, file_hashes: Sequence[str]) -> set[str]:
    """Which of these Xet files a repository claims.

    Only a part of what garbage collection must ask: `buckets.references` knows all of it.
    """
    found: set[str] = set()
    for start in range(0, len(file_hashes), _BATCH):
        part = file_hashes[start : start + _BATCH]
        statement = select(RepoLfsClaim.xet_hash).where(RepoLfsClaim.xet_hash.in_(part)).distinct()
        found.update(name for name in db.scalars(statement) if name)
    return found


def verify_claims(rt: Runtime) -> list[str]:
    """Hash every claimed file that was not hashed yet, oldest first; the files found mislabelled.

    A claim under a false SHA-256 is dropped. Safe to be killed and to run again.
    """
    statement = (
        select(XetFile.file_hash)
        .where(XetFile.sha256.is_(None))
        .where(select(RepoLfsClaim.oid).where(RepoLfsClaim.xet_hash == XetFile.file_hash).exists())
        .order_by(XetFile.created_at)
    )
    with rt.database.reading() as db:
        waiting = db.scalars(statement).all()
    false: list[str] = []
    for file_hash in waiting:
        try:
            sha256 = digest_file(rt, file_hash)
        except LlmosError as error:
            # Tried again each few seconds, until it is healed; damage was told when it was found.
            level = logging.DEBUG if isinstance(error, XetQuarantined) else logging.ERROR
            log.log(level, "file %s cannot be hashed: %s", file_hash, error.message)
            continue
        if _drop_false_claims(rt, file_hash, sha256):
            false.append(file_hash)
    return false


def _drop_false_claims(rt: Runtime, file_hash: str, sha256: str) -> int:
    statement = delete(RepoLfsClaim).where(RepoLfsClaim.xet_hash == file_hash, RepoLfsClaim.oid != sha256)
    with rt.database.writing() as db:
        dropped = list(db.execute(statement.returning(RepoLfsClaim.repo_id, RepoLfsClaim.oid)))
    for repo_id, oid in dropped:
        log.warning("repository %s claimed %s under the false SHA-256 %s", repo_id, file_hash, oid)
    return len(dropped)
