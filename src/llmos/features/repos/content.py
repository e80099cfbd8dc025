"""Finding one file of one revision, as fast as its answer can be known.

What a path holds at a commit never changes, so it is remembered; where a branch stands is read
anew each time.
"""

from __future__ import annotations

from dataclasses import dataclass

import pygit2
from sqlalchemy import Select, bindparam, select
from sqlalchemy.orm import Session

from llmos.core.errors import EntryNotFound
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.repos.files import open_large_file
from llmos.features.repos.models import Repo
from llmos.features.repos.places import git_path
from llmos.features.repos.policy import access_repo, check_content
from llmos.infra.git.caches import LruCache
from llmos.infra.git.pointers import LfsPointer
from llmos.infra.git.repository import open_repo
from llmos.infra.git.revisions import resolve
from llmos.infra.git.trees import get_entry, read_blob
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime

TEXT_PROBE_BYTES = 8000
MAX_PROBED_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class FileFacts:
    """`etag` is the git blob id of a regular file and the SHA-256 of a large one, unquoted."""

    repo_id: int
    object_id: str
    repo_type: RepoType
    repo_name: str
    commit_oid: str
    path: str
    blob_oid: str
    blob_size_bytes: int
    is_text: bool
    lfs: LfsPointer | None
    xet_hash: str | None

    @property
    def etag(self) -> str:
        return self.lfs.oid if self.lfs else self.blob_oid

    @property
    def size_bytes(self) -> int:
        return self.lfs.size if self.lfs else self.blob_size_bytes


_blob_is_text: LruCache[str, bool] = LruCache(50_000)


def public_repo_query() -> Select[int, str]:
    """Id and object id of a repository whose content everybody may read; three parameters to bind."""
    return (
        select(Repo.id, Repo.object_id)
        .join(Namespace, Namespace.id == Repo.namespace_id)
        .where(
            Repo.type == bindparam("repo_type"),
            Namespace.name_key == bindparam("namespace_key"),
            Repo.name_key == bindparam("repo_key"),
            Repo.visibility != "private",
            Repo.gated == "",
            Repo.disabled.is_(False),
        )
    )


def access_file(
    db: Session,
    rt: Runtime,
    actor: Actor,
    repo_type: RepoType,
    namespace: str,
    name: str,
    rev: str,
    path: str,
) -> FileFacts:
    """The file at `path`, if the actor may read it.

    Raises what `access_repo` and `check_content` raise, RevisionNotFound, and EntryNotFound
    (with `commit_oid`) where there is no such file or its large object was never received.
    """
    repo = access_repo(db, actor, repo_type, namespace, name)
    check_content(db, actor, repo, path)
    git_repo = open_repo(git_path(rt, repo))
    commit = resolve(git_repo, rev)
    entry = get_entry(git_repo, commit, path) if not path.endswith("/") else None
    if entry is None or entry.type not in ("file", "symlink"):
        raise EntryNotFound(
            lazy("Entry not found: there is no file %(path)r at revision %(rev)r.", path=path, rev=rev),
            data={"commit_oid": commit},
        )
    xet_hash = None
    if entry.lfs is not None:
        try:
            xet_hash = open_large_file(db, rt, repo, entry.lfs.oid).xet_hash
        except EntryNotFound as error:
            raise EntryNotFound(error.message, data={"commit_oid": commit}) from error
    return FileFacts(
        repo_id=repo.id,
        object_id=repo.object_id,
        repo_type=repo_type,
        repo_name=repo.repo_name,
        commit_oid=commit,
        path=path,
        blob_oid=entry.oid,
        blob_size_bytes=entry.size,
        is_text=entry.lfs is None and _is_text(git_repo, entry.oid, entry.size),
        lfs=entry.lfs,
        xet_hash=xet_hash,
    )


def _is_text(git_repo: pygit2.Repository, oid: str, size_bytes: int) -> bool:
    """Whether a file may be shown as text; large regular files count as text unread."""
    if size_bytes > MAX_PROBED_BYTES:
        return True
    known = _blob_is_text.get(oid)
    if known is None:
        known = b"\0" not in read_blob(git_repo, oid)[:TEXT_PROBE_BYTES]
        _blob_is_text.put(oid, known)
    return known
