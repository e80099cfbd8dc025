"""Take large objects out of a repository, and bring them back while their bytes are still there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import NotFound
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.repos.claims import check_room, get_claims
from llmos.features.repos.indexing import used_storage_bytes
from llmos.features.repos.lifecycle import event_payload
from llmos.features.repos.models import RemovedLfsFile, Repo, RepoFacts, RepoLfsClaim
from llmos.features.repos.policy import check_admin, check_write
from llmos.features.storage.objects import get_lfs_objects, touch
from llmos.features.storage.xet.models import XetFile
from llmos.features.storage.xet.tables import touch_files
from llmos.infra.db.upsert import insert_missing, upsert
from llmos.infra.i18n import lazy
from llmos.infra.queue.outbox import emit
from llmos.infra.settings import Settings

_BATCH = 500


def remove_claims(
    db: Session, settings: Settings, actor: Actor, repo: Repo, oids: Sequence[str], paths: Mapping[str, str]
) -> int:
    """Give up these objects; how many there were. Their grace begins now, and they are noted under
    `paths` for as long. The caller has checked the right to do this."""
    held = get_claims(db, repo.id, oids)
    now = clock.now()
    rows = [
        {
            "repo_id": repo.id,
            "oid": oid,
            "size_bytes": claim.size_bytes,
            "xet_hash": claim.xet_hash,
            "path": paths.get(oid, oid)[:4096],
            "removed_by_id": actor.user_id,
            "removed_at": now,
            "restorable_until": now + timedelta(days=settings.gc_grace_days),
        }
        for oid, claim in held.items()
    ]
    columns = ["size_bytes", "xet_hash", "path", "removed_by_id", "removed_at", "restorable_until"]
    if rows:
        upsert(db, RemovedLfsFile, rows, keys=["repo_id", "oid"], update=columns)
    touch(db, list(held))
    touch_files(db, [claim.xet_hash for claim in held.values() if claim.xet_hash])
    for oid in held:
        db.expunge(held[oid])
    wanted = sorted(held)
    for start in range(0, len(wanted), _BATCH):
        part = wanted[start : start + _BATCH]
        db.execute(delete(RepoLfsClaim).where(RepoLfsClaim.repo_id == repo.id, RepoLfsClaim.oid.in_(part)))
    db.execute(delete(RemovedLfsFile).where(RemovedLfsFile.restorable_until <= now))
    return len(held)


def list_removed_files(db: Session, actor: Actor, repo: Repo, *, limit: int = 100) -> list[RemovedLfsFile]:
    """What can still be brought back, the latest removal first; for those who may write."""
    check_write(actor, repo)
    statement = (
        select(RemovedLfsFile)
        .where(RemovedLfsFile.repo_id == repo.id, RemovedLfsFile.restorable_until > clock.now())
        .order_by(RemovedLfsFile.removed_at.desc(), RemovedLfsFile.path, RemovedLfsFile.oid)
        .limit(limit)
    )
    return list(db.scalars(statement))


def restore_lfs_files(db: Session, settings: Settings, actor: Actor, repo: Repo, oids: Sequence[str]) -> int:
    """Undo a removal for these objects (all that can be, if none is named); how many came back.

    Pointers that stayed in history lead somewhere again; history that was rewritten stays so, but the
    files can be committed again without sending them. Raises Forbidden unless the actor may
    administer, NotFound where nothing of it is left, QuotaExceeded.
    """
    check_admin(actor, repo)
    statement = select(RemovedLfsFile).where(
        RemovedLfsFile.repo_id == repo.id, RemovedLfsFile.restorable_until > clock.now()
    )
    rows = [row for row in db.scalars(statement) if not oids or row.oid in set(oids)]
    # Touched first: garbage collection asks when that was before it removes anything.
    touch(db, [row.oid for row in rows])
    touch_files(db, [row.xet_hash for row in rows if row.xet_hash])
    rows = [row for row in rows if _is_stored(db, row)]
    if not rows:
        raise NotFound(lazy("None of these files can be brought back: their bytes are gone."))
    check_room(db, settings, repo.namespace, sum(row.size_bytes for row in rows))
    claims = [
        {"repo_id": repo.id, "oid": row.oid, "size_bytes": row.size_bytes, "xet_hash": row.xet_hash,
         "created_at": clock.now()}
        for row in rows
    ]  # fmt: skip
    insert_missing(db, RepoLfsClaim, claims)
    for row in rows:
        db.delete(row)
    db.flush()
    facts = db.get(RepoFacts, repo.id)
    repo.used_storage_bytes = used_storage_bytes(db, repo, facts.siblings if facts else [])
    audit.record(db, actor, "repo.lfs_restore", repo.key, count=len(rows))
    emit(db, "RepoRewritten", event_payload(actor, repo) | {"oids": [row.oid for row in rows]})
    return len(rows)


def _is_stored(db: Session, row: RemovedLfsFile) -> bool:
    if row.xet_hash is not None and db.get(XetFile, row.xet_hash) is not None:
        return True
    found = get_lfs_objects(db, [row.oid]).get(row.oid)
    if found is not None and row.xet_hash is not None:
        row.xet_hash = None
    return found is not None
