"""The large files of a repository sorted by what still needs them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest
from llmos.features.accounts.actor import Actor
from llmos.features.repos.models import Repo, RepoLfsClaim
from llmos.features.repos.places import git_path
from llmos.features.repos.policy import check_write
from llmos.features.repos.storage_places import read_places
from llmos.features.repos.storage_report import MAX_COUNTED, StorageSums, repo_sums
from llmos.infra.git.lfs_history import LfsHistory, ObjectTrace, count_rewritten
from llmos.infra.git.repository import default_branch, open_repo
from llmos.infra.git.revisions import BRANCH_PREFIX
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime

STATES = ("current", "other", "history", "unused")
_NOWHERE = ObjectTrace("", (), 0)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One version of a large file. `state` says what needs it: `current` (the default branch now),
    `other` (another branch, tag or pull request), `history` (old revisions only), `unused` (none)."""

    oid: str
    path: str
    size_bytes: int
    created_at: datetime
    state: str
    refs: tuple[str, ...]
    commit_count: int


@dataclass(frozen=True, slots=True)
class StoredPath:
    """All versions of the file at one path."""

    path: str
    version_count: int
    size_bytes: int
    current_bytes: int


@dataclass(frozen=True, slots=True)
class RepoStorage:
    """`objects` are the largest first. `sums` is None for a repository with too many to count."""

    objects: list[StoredObject]
    sums: StorageSums | None
    history: LfsHistory
    is_cut: bool

    def bytes_in(self, state: str) -> int:
        return sum(item.size_bytes for item in self.objects if item.state == state)

    def old_oids(self) -> list[str]:
        """What no tip of a ref holds. Nothing where the history was too long to look at all of it."""
        if not self.history.is_complete:
            return []
        return [item.oid for item in self.objects if item.state in ("history", "unused")]

    def by_path(self) -> list[StoredPath]:
        """Files by what all their versions take, the largest first."""
        sizes, versions, current = Counter[str](), Counter[str](), Counter[str]()
        for item in self.objects:
            sizes[item.path] += item.size_bytes
            versions[item.path] += 1
            if item.state == "current":
                current[item.path] += item.size_bytes
        return [StoredPath(path, versions[path], size, current[path]) for path, size in sizes.most_common()]

    def by_ref(self) -> list[tuple[str, int, int]]:
        """(full name, number of large files, their bytes) of each ref's tip, the largest first."""
        sizes, counts = Counter[str](), Counter[str]()
        for item in self.objects:
            for ref in item.refs:
                sizes[ref] += item.size_bytes
                counts[ref] += 1
        return [(ref, counts[ref], size) for ref, size in sizes.most_common()]


def read_storage(db: Session, actor: Actor, rt: Runtime, repo: Repo) -> RepoStorage:
    """Everything the storage page tells; for those who may write. Costs a few queries, and one walk
    over the history after each push."""
    check_write(actor, repo)
    statement = (
        select(RepoLfsClaim.oid, RepoLfsClaim.size_bytes, RepoLfsClaim.created_at)
        .where(RepoLfsClaim.repo_id == repo.id)
        .order_by(RepoLfsClaim.size_bytes.desc(), RepoLfsClaim.oid)
        .limit(MAX_COUNTED + 1)
    )
    rows = db.execute(statement).all()
    history = read_places(rt, repo)
    main = BRANCH_PREFIX + default_branch(open_repo(git_path(rt, repo)))
    objects = [
        _object(oid, size, at, history.objects.get(oid, _NOWHERE), main)
        for oid, size, at in rows[:MAX_COUNTED]
    ]
    return RepoStorage(objects, repo_sums(db, repo), history, len(rows) > MAX_COUNTED)


def _object(oid: str, size_bytes: int, at: datetime, trace: ObjectTrace, main: str) -> StoredObject:
    if main in trace.refs:
        state = "current"
    elif trace.refs:
        state = "other"
    else:
        state = "history" if trace.commit_count else "unused"
    return StoredObject(oid, trace.path or oid, size_bytes, at, state, trace.refs, trace.commit_count)


@dataclass(frozen=True, slots=True)
class RemovalPlan:
    """What a removal would do. `freed_bytes`: chunks (compressed) and objects that nothing else in the
    repository needs; what other repositories share with it stays. `commit_count` and `refs` are what a
    rewrite of history would change."""

    objects: list[StoredObject]
    logical_bytes: int
    freed_bytes: int | None
    commit_count: int
    refs: list[str]


def plan_removal(
    db: Session, rt: Runtime, repo: Repo, storage: RepoStorage, oids: Iterable[str]
) -> RemovalPlan:
    """The preview of `delete_lfs_files`. BadRequest where none of these is a file of the repository."""
    wanted = set(oids)
    chosen = [item for item in storage.objects if item.oid in wanted]
    if not chosen:
        raise BadRequest(lazy("Choose at least one large file of this repository."))
    names = {item.oid for item in chosen}
    commits, refs = count_rewritten(open_repo(git_path(rt, repo)), names)
    rest = repo_sums(db, repo, without=names)
    freed = storage.sums.stored_bytes - rest.stored_bytes if storage.sums and rest else None
    return RemovalPlan(
        chosen,
        sum(item.size_bytes for item in chosen),
        freed,
        commits,
        refs,
    )
