"""Which repository may use which large object, and what that adds up to.

A claim is proof that somebody with write access brought the bytes: by uploading them to this
repository, or by being able to read them in another one. So knowing a hash gives no access, and
no answer tells whether an object exists somewhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import EntryNotFound, Forbidden, QuotaExceeded, Unprocessable
from llmos.core.pagination import Page, decode_cursor, encode_cursor
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.repos.models import Repo, RepoLfsClaim
from llmos.features.repos.policy import can_read, can_write, check_content, check_write
from llmos.features.storage.objects import get_lfs_object, lock_object, touch
from llmos.features.storage.xet.models import XetFile
from llmos.features.storage.xet.tables import touch_files
from llmos.infra.db.upsert import insert_missing, upsert
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.settings import Settings

_BATCH = 500
WARN_PERCENT = 90

_other_storage: list[Callable[[Session, int], int]] = []


def count_also(used_by: Callable[[Session, int], int]) -> None:
    """Slot: bytes that a feature above stores in a namespace (by its id), counted against its quota."""
    _other_storage.append(used_by)


def claim(db: Session, repo: Repo, oid: str, size_bytes: int, xet_hash: str | None = None) -> None:
    """Record that the repository may use the object; repeating it is harmless.

    The caller has proof of the bytes. Raises Unprocessable if no stored, usable object has this
    id and size (not asked when `xet_hash` says that the bytes live in the Xet store).
    """
    lock_object(db, oid)
    row = {
        "repo_id": repo.id,
        "oid": oid,
        "size_bytes": size_bytes,
        "xet_hash": xet_hash,
        "created_at": clock.now(),
    }
    if xet_hash is not None:
        upsert(db, RepoLfsClaim, [row], keys=["repo_id", "oid"], update=["xet_hash"])
        return
    found = get_lfs_object(db, oid)
    if found is None or found.size_bytes != size_bytes:
        raise Unprocessable(
            lazy(
                "oid %(oid)s: no object of %(size_bytes)s bytes has been uploaded under it.",
                oid=oid,
                size_bytes=size_bytes,
            )
        )
    insert_missing(db, RepoLfsClaim, [row])
    held = get_claim(db, repo.id, oid)
    if held is not None and not proves_object(db, held):
        held.xet_hash, held.size_bytes = None, size_bytes
    touch(db, [oid])


def check_upload(db: Session, actor: Actor, repo: Repo) -> None:
    """Who may bring large objects: writers, and readers who may open a pull request with them."""
    actor.require_user()
    check_content(db, actor, repo)
    names = (repo.namespace.name, repo.key)
    if not can_write(actor, repo) and not actor.allows("discussion.write", *names):
        check_write(actor, repo)


def get_claim(db: Session, repo_id: int, oid: str) -> RepoLfsClaim | None:
    return db.get(RepoLfsClaim, (repo_id, oid))


def get_claims(db: Session, repo_id: int, oids: Iterable[str]) -> dict[str, RepoLfsClaim]:
    """The repository's claims among `oids`."""
    wanted = sorted(set(oids))
    found: dict[str, RepoLfsClaim] = {}
    for start in range(0, len(wanted), _BATCH):
        rows = db.scalars(
            select(RepoLfsClaim).where(
                RepoLfsClaim.repo_id == repo_id, RepoLfsClaim.oid.in_(wanted[start : start + _BATCH])
            )
        )
        found.update((row.oid, row) for row in rows)
    return found


def mark_used(rt: Runtime, repo_id: int, oids: Iterable[str]) -> None:
    """A commit is about to name these objects: their claims no longer expire.

    Before the commit looks for them, so that none can go between the look and the move of the ref.
    """
    with rt.database.reading() as db:
        fresh = [oid for oid, held in get_claims(db, repo_id, oids).items() if held.used_at is None]
    if not fresh:
        return
    with rt.database.writing() as db:
        for start in range(0, len(fresh), _BATCH):
            db.execute(
                update(RepoLfsClaim)
                .where(RepoLfsClaim.repo_id == repo_id, RepoLfsClaim.oid.in_(fresh[start : start + _BATCH]))
                .values(used_at=clock.now())
            )


def proves_object(db: Session, claim: RepoLfsClaim) -> bool:
    """Whether the claim gives a right to the plain object of its SHA-256.

    One that names chunks whose SHA-256 is only said and not yet made from the bytes does not: else
    whoever knows the digest of a private file could read it.
    """
    if claim.xet_hash is None:
        return True
    return db.scalar(select(XetFile.sha256).where(XetFile.file_hash == claim.xet_hash)) == claim.oid


def list_claims(
    db: Session, repo_id: int, *, cursor: str | None = None, limit: int = 100
) -> Page[RepoLfsClaim]:
    """The repository's objects in order of oid."""
    statement = select(RepoLfsClaim).where(RepoLfsClaim.repo_id == repo_id)
    after = decode_cursor(cursor, 1)
    if after:
        statement = statement.where(RepoLfsClaim.oid > str(after[0]))
    rows = list(db.scalars(statement.order_by(RepoLfsClaim.oid).limit(limit + 1)))
    more = len(rows) > limit
    return Page(rows[:limit], encode_cursor([rows[limit - 1].oid]) if more else None)


def claim_readable(db: Session, actor: Actor, repo: Repo, oids: Iterable[str]) -> set[str]:
    """Claim those of `oids` that the actor can read in another repository; return what is claimed now.

    For copies between repositories: reading the bytes is proof enough of having them.
    """
    wanted = set(oids)
    held = set(get_claims(db, repo.id, wanted))
    for oid in sorted(wanted - held):
        statement = (
            select(RepoLfsClaim, Repo)
            .join(Repo, Repo.id == RepoLfsClaim.repo_id)
            .where(RepoLfsClaim.oid == oid)
            .limit(100)
        )
        for other, source in db.execute(statement).unique():
            if _can_read_content(db, actor, source):
                claim(db, repo, oid, other.size_bytes, other.xet_hash)
                held.add(oid)
                break
    return held


def _can_read_content(db: Session, actor: Actor, repo: Repo) -> bool:
    if not can_read(actor, repo):
        return False
    try:
        check_content(db, actor, repo)
    except Forbidden:
        return False
    return True


def access_claim(db: Session, repo: Repo, oid: str) -> RepoLfsClaim:
    """The claim, or EntryNotFound: an object of another repository is as unknown as any."""
    found = get_claim(db, repo.id, oid)
    if found is None:
        raise EntryNotFound(lazy("Object %(oid)s does not exist in this repository.", oid=oid))
    return found


def release_claims(db: Session, repo: Repo) -> None:
    """Give up all claims of a repository that is being deleted; the objects' grace starts now."""
    held = db.execute(
        select(RepoLfsClaim.oid, RepoLfsClaim.xet_hash).where(RepoLfsClaim.repo_id == repo.id)
    ).all()
    touch(db, [oid for oid, _ in held])
    touch_files(db, [xet_hash for _, xet_hash in held if xet_hash])
    db.execute(delete(RepoLfsClaim).where(RepoLfsClaim.repo_id == repo.id))


def referenced_oids(db: Session, oids: Sequence[str]) -> set[str]:
    """Which of `oids` a repository claims; what garbage collection asks before it removes."""
    return set(db.scalars(select(RepoLfsClaim.oid).where(RepoLfsClaim.oid.in_(oids)).distinct()))


def used_bytes(db: Session, namespace_id: int) -> int:
    """Bytes stored in a namespace; an object in two of its repositories counts once."""
    objects = (
        select(RepoLfsClaim.oid, func.max(RepoLfsClaim.size_bytes).label("size_bytes"))
        .join(Repo, Repo.id == RepoLfsClaim.repo_id)
        .where(Repo.namespace_id == namespace_id)
        .group_by(RepoLfsClaim.oid)
        .subquery()
    )
    claimed = int(db.scalar(select(func.coalesce(func.sum(objects.c.size_bytes), 0))) or 0)
    return claimed + sum(used_by(db, namespace_id) for used_by in _other_storage)


def quota_bytes(settings: Settings, namespace: Namespace) -> int:
    """What the namespace may store in all; 0 without a limit."""
    return settings.default_quota_bytes if namespace.quota_bytes is None else namespace.quota_bytes


def room_bytes(db: Session, settings: Settings, namespace: Namespace) -> int | None:
    """How much the namespace may still store; None without a limit, never below 0."""
    quota = quota_bytes(settings, namespace)
    if not quota:
        return None
    return max(quota - used_bytes(db, namespace.id), 0)


def quota_warning(db: Session, settings: Settings, namespace: Namespace) -> str | None:
    """What the owner should hear before the room is used up: from WARN_PERCENT of the quota on."""
    quota = quota_bytes(settings, namespace)
    percent = used_bytes(db, namespace.id) * 100 // quota if quota else 0
    if percent < WARN_PERCENT:
        return None
    return f"{namespace.name} has used {percent} % of its storage quota: delete files or ask for more."


def check_room(db: Session, settings: Settings, namespace: Namespace, adding_bytes: int) -> None:
    """QuotaExceeded unless `adding_bytes` more fit into the namespace's quota."""
    room = room_bytes(db, settings, namespace)
    if room is not None and adding_bytes > room:
        raise QuotaExceeded(
            lazy(
                "The storage quota of %(name)s is used up: %(adding_bytes)s bytes are to be added "
                "and %(room)s are left. Delete files or ask an admin of this instance for a larger "
                "quota.",
                name=namespace.name,
                adding_bytes=adding_bytes,
                room=room,
            ),
            data={"room_bytes": room, "adding_bytes": adding_bytes},
        )
