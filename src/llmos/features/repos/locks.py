"""LFS file locks: who is working on which path, so that nobody overwrites a binary file unseen."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.errors import Conflict, Forbidden, NotFound, Unprocessable
from llmos.core.pagination import Page, decode_cursor, encode_cursor
from llmos.core.paths import check_file_path
from llmos.features.accounts.actor import Actor
from llmos.features.repos.models import LfsLock, Repo
from llmos.features.repos.policy import can_admin, check_write
from llmos.infra.db.upsert import insert_missing
from llmos.infra.i18n import lazy

MAX_PATH_CHARS = 1024
MAX_REF_CHARS = 250


class LockExists(Conflict):
    """Somebody holds the lock; `lock` says who."""

    code = "LockExists"

    def __init__(self, lock: LfsLock) -> None:
        super().__init__(f"{lock.path} is already locked by {lock.owner.name}.")
        self.lock = lock


@dataclass(frozen=True, slots=True)
class LockFilter:
    path: str | None = None
    lock_id: int | None = None
    ref: str | None = None


def create_lock(db: Session, actor: Actor, repo: Repo, path: str, ref: str | None) -> LfsLock:
    """Lock `path` for the actor, who needs write access; LockExists if it is locked already."""
    check_write(actor, repo)
    check_file_path(path)
    if len(path) > MAX_PATH_CHARS:
        raise Unprocessable(
            lazy("path is too long: at most %(limit)s characters can be locked.", limit=MAX_PATH_CHARS)
        )
    _check_ref(ref)
    row = {"repo_id": repo.id, "path": path, "ref": ref, "owner_id": actor.require_user()}
    is_new = insert_missing(db, LfsLock, [row])
    lock = db.scalars(select(LfsLock).where(LfsLock.repo_id == repo.id, LfsLock.path == path)).one()
    if not is_new:
        raise LockExists(lock)
    return lock


def _check_ref(ref: str | None) -> None:
    if ref is not None and (len(ref) > MAX_REF_CHARS or not ref.isprintable() or not ref):
        raise Unprocessable(
            lazy("ref.name must be the name of a ref, at most %(limit)s characters.", limit=MAX_REF_CHARS)
        )


def list_locks(
    db: Session, repo: Repo, wanted: LockFilter, *, cursor: str | None, limit: int
) -> Page[LfsLock]:
    """Locks in order of creation; a lock without a ref matches every ref."""
    statement = select(LfsLock).where(LfsLock.repo_id == repo.id)
    if wanted.path is not None:
        statement = statement.where(LfsLock.path == wanted.path)
    if wanted.lock_id is not None:
        statement = statement.where(LfsLock.id == wanted.lock_id)
    if wanted.ref is not None:
        statement = statement.where((LfsLock.ref == wanted.ref) | LfsLock.ref.is_(None))
    after = decode_cursor(cursor, 1)
    if after and isinstance(after[0], int) and abs(after[0]) < 2**62:
        statement = statement.where(LfsLock.id > after[0])
    rows = list(db.scalars(statement.order_by(LfsLock.id).limit(limit + 1)).unique())
    more = len(rows) > limit
    return Page(rows[:limit], encode_cursor([rows[limit - 1].id]) if more else None)


def delete_lock(db: Session, actor: Actor, repo: Repo, lock_id: int, *, force: bool) -> LfsLock:
    """Unlock; another person's lock only with `force` and as an admin of the repository.

    Returns the lock as it was.
    """
    check_write(actor, repo)
    lock = db.get(LfsLock, lock_id)
    if lock is None or lock.repo_id != repo.id:
        raise NotFound(lazy("There is no lock %(lock_id)s in this repository.", lock_id=lock_id))
    if lock.owner_id != actor.user_id:
        if not force:
            raise Forbidden(
                lazy(
                    "%(path)s is locked by %(name)s: only they, or --force, unlock it.",
                    path=lock.path,
                    name=lock.owner.name,
                )
            )
        if not can_admin(actor, repo):
            raise Forbidden(
                lazy(
                    "Only an admin of %(repo_name)s may break the lock of %(name)s.",
                    repo_name=repo.repo_name,
                    name=lock.owner.name,
                )
            )
    db.delete(lock)
    db.flush()
    return lock
