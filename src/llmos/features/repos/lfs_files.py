"""The large files of a repository: list them, remove them for good, lend them to another."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest
from llmos.core.pagination import Page, check_limit, decode_cursor, make_page
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.repos.cursors import cursor_text, cursor_time
from llmos.features.repos.indexing import index_head
from llmos.features.repos.lfs_removal import remove_claims
from llmos.features.repos.lifecycle import event_payload
from llmos.features.repos.models import Repo, RepoLfsClaim
from llmos.features.repos.places import git_path
from llmos.features.repos.policy import check_admin, check_content, check_write
from llmos.features.repos.storage_places import read_places
from llmos.infra.db.upsert import insert_missing
from llmos.infra.git.lfs_objects import drop_objects, locate_objects
from llmos.infra.git.repository import open_repo
from llmos.infra.i18n import lazy
from llmos.infra.queue.outbox import emit
from llmos.infra.runtime import Runtime

MAX_DELETIONS = 1000
MAX_COPIES = 500
_OID = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class LfsFile:
    """A large object and one place where it is, or was, a file; `ref` None: only in history."""

    oid: str
    filename: str
    ref: str | None
    size_bytes: int
    pushed_at: datetime


def list_lfs_files(
    db: Session,
    actor: Actor,
    rt: Runtime,
    repo: Repo,
    *,
    cursor: str | None = None,
    limit: int | None = None,
) -> Page[LfsFile]:
    """Large objects of all revisions, the latest upload first; for those who may write."""
    check_write(actor, repo)
    size = check_limit(limit, default=1000, maximum=1000)
    statement = (
        select(RepoLfsClaim)
        .where(RepoLfsClaim.repo_id == repo.id)
        .order_by(RepoLfsClaim.created_at.desc(), RepoLfsClaim.oid.desc())
        .limit(size + 1)
    )
    after = decode_cursor(cursor, 2)
    if after:
        mark = tuple_(cursor_time(after[0]), cursor_text(after[1]))
        statement = statement.where(tuple_(RepoLfsClaim.created_at, RepoLfsClaim.oid) < mark)
    page = make_page(
        list(db.scalars(statement)), size, lambda claim: [claim.created_at.isoformat(), claim.oid]
    )
    places = locate_objects(open_repo(git_path(rt, repo)), {claim.oid for claim in page.items})
    return page.map(lambda claim: _lfs_file(claim, places.get(claim.oid)))


def _lfs_file(claim: RepoLfsClaim, place: Any) -> LfsFile:
    return LfsFile(
        oid=claim.oid,
        filename=place.path if place else claim.oid,
        ref=place.ref if place else None,
        size_bytes=claim.size_bytes,
        pushed_at=claim.created_at,
    )


def delete_lfs_files(
    rt: Runtime, actor: Actor, repo: Repo, oids: Sequence[str], *, rewrite_history: bool
) -> int:
    """Remove large objects from a repository for good; return how many it held.

    With `rewrite_history` their pointers leave every commit of every ref, which changes commit
    ids; without it the pointers stay and lead nowhere. The bytes themselves go when no other
    repository uses them and the grace of garbage collection is over; until then
    `restore_lfs_files` brings them back. Opens its own transaction, after the git work. Raises
    Forbidden unless the actor may administer.
    """
    check_admin(actor, repo)
    if len(oids) > MAX_DELETIONS:
        raise BadRequest(
            lazy(
                "deletions.sha holds %(count)s items: send at most %(limit)s at once.",
                count=len(oids),
                limit=MAX_DELETIONS,
            )
        )
    if not all(isinstance(oid, str) and _OID.match(oid) for oid in oids):
        raise BadRequest(lazy("deletions.sha must hold SHA-256 ids of 64 lower-case hex characters."))
    paths = {oid: trace.path for oid, trace in read_places(rt, repo).objects.items()}
    if rewrite_history:
        drop_objects(open_repo(git_path(rt, repo)), oids)
    with rt.database.writing() as db:
        count = remove_claims(db, rt.settings, actor, repo, oids, paths)
        audit.record(db, actor, "repo.lfs_delete", repo.key, count=count, rewrite_history=rewrite_history)
        emit(db, "RepoRewritten", event_payload(actor, repo) | {"oids": list(oids)})
        row = db.get(Repo, repo.id)
        if row is not None:
            index_head(db, rt, row, force=True)
    return count


def lend_lfs_files(
    db: Session, actor: Actor, source: Repo, target: Repo, files: Sequence[dict[str, Any]]
) -> list[dict[str, str]]:
    """Let `target` use large objects of `source`, so that a commit there may name them.

    The actor must be able to read the content of the source and write to the target. Returns
    `{sha256, error}` for each file the source does not hold.
    """
    check_content(db, actor, source)
    check_write(actor, target)
    if len(files) > MAX_COPIES:
        raise BadRequest(
            lazy(
                "files holds %(count)s items: send at most %(limit)s at once.",
                count=len(files),
                limit=MAX_COPIES,
            )
        )
    wanted = {str(item.get("sha256")): item for item in files}
    statement = select(RepoLfsClaim).where(RepoLfsClaim.repo_id == source.id, RepoLfsClaim.oid.in_(wanted))
    held = {claim.oid: claim for claim in db.scalars(statement)}
    rows = [
        {"repo_id": target.id, "oid": oid, "size_bytes": claim.size_bytes, "xet_hash": claim.xet_hash}
        for oid, claim in held.items()
    ]
    insert_missing(db, RepoLfsClaim, rows)
    return [
        {"sha256": oid, "error": f"{source.repo_name} holds no such large file."}
        for oid in wanted
        if oid not in held
    ]
