"""Which Xet files one revision of a repository holds."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.errors import NotFound
from llmos.features.repos.models import Repo, RepoLfsClaim
from llmos.features.repos.places import open_git
from llmos.infra.git.caches import LruCache
from llmos.infra.git.revisions import resolve
from llmos.infra.git.trees import iter_tree
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime

_MAX_REVISIONS = 64
# What a commit points to never changes. 32 bytes a large file.
_pointers: LruCache[tuple[str, str], frozenset[bytes]] = LruCache(_MAX_REVISIONS)


def check_in_revision(db: Session, rt: Runtime, repo_id: int, revision: str, file_hash: str) -> None:
    """NotFound unless the repository claims this Xet file and the revision points to it.

    Reads the pointers of a commit once (about 1 s for 100,000 files). RevisionNotFound where the
    branch has gone since.
    """
    repo = db.get(Repo, repo_id)
    statement = select(RepoLfsClaim.oid).where(
        RepoLfsClaim.repo_id == repo_id, RepoLfsClaim.xet_hash == file_hash
    )
    claimed = db.scalars(statement).all() if repo is not None else []
    if repo is None or not claimed:
        raise NotFound(lazy("There is no file %(file_hash)s in this repository.", file_hash=file_hash))
    held = _large_files(rt, repo, revision)
    if not any(bytes.fromhex(oid) in held for oid in claimed):
        raise NotFound(
            lazy(
                "There is no file %(file_hash)s in revision %(revision)r of this repository.",
                file_hash=file_hash,
                revision=revision,
            )
        )


def _large_files(rt: Runtime, repo: Repo, revision: str) -> frozenset[bytes]:
    git_repo = open_git(rt, repo)
    commit = resolve(git_repo, revision)
    key = (repo.object_id, commit)
    held = _pointers.get(key)
    if held is None:
        held = frozenset(bytes.fromhex(entry.lfs.oid) for entry in iter_tree(git_repo, commit) if entry.lfs)
        _pointers.put(key, held)
    return held
