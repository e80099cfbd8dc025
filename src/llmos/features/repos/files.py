"""Reading a repository's content: files, folders, history, differences. Access is checked before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pygit2
from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.errors import EntryNotFound, RevisionNotFound, TooLarge
from llmos.core.pagination import Page
from llmos.features.repos.claims import get_claim, get_claims, proves_object
from llmos.features.repos.models import Repo, RepoLfsClaim
from llmos.features.repos.places import git_path
from llmos.features.storage.models import LfsObject
from llmos.features.storage.objects import object_key
from llmos.features.storage.xet.hot import get_hot_path
from llmos.features.storage.xet.models import XetFile
from llmos.features.storage.xet.reading import stream_file
from llmos.infra.git.commits import CommitInfo, count_commits, get_commit, list_commits
from llmos.infra.git.diff import CommitDiff, DiffLimits, diff_commit
from llmos.infra.git.lastcommits import last_commit_for_entries
from llmos.infra.git.repository import open_repo
from llmos.infra.git.revisions import resolve
from llmos.infra.git.trees import TreeEntry, TreePage, access_entry, get_entry, list_tree, read_blob
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.files import Content

MAX_TEXT_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LargeFileRef:
    """A large object this repository may use: one object under `key`, or chunks under `xet_hash`.

    `local_path` is set where the bytes lie in one file on this machine: an object or a cached copy.
    """

    oid: str
    size_bytes: int
    xet_hash: str | None
    key: str | None
    local_path: Path | None

    def stream(self, rt: Runtime, start: int, end: int) -> Iterator[bytes]:
        """Bytes `start` to `end` (exclusive) in pieces of about 1 MiB."""
        if self.key is not None:
            return rt.objects.stream(self.key, start, end)
        assert self.xet_hash is not None
        return stream_file(rt, self.xet_hash, start, end)

    def content(self, rt: Runtime) -> Content:
        """The bytes ready for a `ContentResponse`; the etag is the SHA-256."""
        return Content(self.size_bytes, self.oid, self.local_path, partial(self.stream, rt))


def open_large_file(db: Session, rt: Runtime, repo: Repo, oid: str) -> LargeFileRef:
    """The large object with this SHA-256, if the repository has claimed it.

    One object of the store is preferred to chunks. Raises EntryNotFound where there is no claim
    (a pointer alone proves nothing) or no usable bytes.
    """
    return open_claimed(db, rt, repo.id, oid)


def open_claimed(db: Session, rt: Runtime, repo_id: int, oid: str) -> LargeFileRef:
    """`open_large_file` for a repository known by its id only."""
    claim = get_claim(db, repo_id, oid)
    if claim is None:
        raise EntryNotFound(
            lazy("Entry not found: the large file %(oid)s was never uploaded to this repository.", oid=oid)
        )
    found = db.get(LfsObject, oid)
    return _large_ref(rt, claim, found, found is not None and proves_object(db, claim))


def open_large_files(db: Session, rt: Runtime, repo: Repo, oids: Iterable[str]) -> dict[str, LargeFileRef]:
    """Those of `oids` that `open_large_file` would give, looked up together."""
    claims = get_claims(db, repo.id, oids)
    objects = {row.oid: row for row in db.scalars(select(LfsObject).where(LfsObject.oid.in_(claims)))}
    chunked = [claim.xet_hash for claim in claims.values() if claim.xet_hash is not None]
    pairs = select(XetFile.file_hash, XetFile.sha256).where(XetFile.file_hash.in_(chunked))
    digests = {row.file_hash: row.sha256 for row in db.execute(pairs)} if chunked else {}
    refs = {}
    for oid, claim in claims.items():
        is_proven = claim.xet_hash is None or digests.get(claim.xet_hash) == oid
        with suppress(EntryNotFound):
            refs[oid] = _large_ref(rt, claim, objects.get(oid), is_proven)
    return refs


def _large_ref(rt: Runtime, claim: RepoLfsClaim, found: LfsObject | None, is_proven: bool) -> LargeFileRef:
    """`is_proven`: the claim gives a right to the plain object."""
    oid = claim.oid
    if found is not None and found.quarantined_at is not None:
        raise EntryNotFound(
            lazy("Entry not found: large file %(oid)s is in quarantine and given to nobody.", oid=oid)
        )
    if found is not None and is_proven:
        key = object_key(oid)
        return LargeFileRef(oid, found.size_bytes, claim.xet_hash, key, rt.objects.local_path(key))
    if claim.xet_hash:
        hot_path = get_hot_path(rt, claim.xet_hash, claim.size_bytes)
        return LargeFileRef(oid, claim.size_bytes, claim.xet_hash, None, hot_path)
    raise EntryNotFound(lazy("Entry not found: the content of large file %(oid)s is not available.", oid=oid))


def open_git(rt: Runtime, repo: Repo) -> pygit2.Repository:
    """The repository's git data, for the calling thread."""
    return open_repo(git_path(rt, repo))


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file for reading; `text` is None where it is binary or a large object."""

    entry: TreeEntry
    commit_oid: str
    text: str | None


def read_text(rt: Runtime, repo: Repo, rev: str, path: str, *, max_bytes: int = MAX_TEXT_BYTES) -> TextFile:
    """A file's text at a revision; TooLarge above `max_bytes`, EntryNotFound for no file."""
    git_repo = open_git(rt, repo)
    commit = resolve(git_repo, rev)
    entry = access_entry(git_repo, commit, path)
    if entry.type not in ("file", "symlink"):
        raise EntryNotFound(
            lazy("Entry not found: %(path)r is a folder.", path=path), data={"commit_oid": commit}
        )
    if entry.lfs is not None:
        return TextFile(entry, commit, None)
    if entry.size > max_bytes:
        raise TooLarge(lazy("%(path)r is too large to show: download it instead.", path=path))
    data = read_blob(git_repo, entry.oid)
    text = None if b"\0" in data[:8000] else data.decode("utf-8", "replace")
    return TextFile(entry, commit, text)


@dataclass(frozen=True, slots=True)
class Folder:
    """`last_commits` maps an entry's path to its last commit; it may lack some of a long history."""

    commit_oid: str
    page: TreePage
    last_commits: dict[str, CommitInfo]


def list_folder(
    rt: Runtime, repo: Repo, rev: str, path: str = "", *, after: str | None = None, limit: int = 100
) -> Folder:
    """One page of a folder with the commit that last changed each entry."""
    git_repo = open_git(rt, repo)
    commit = resolve(git_repo, rev)
    page = list_tree(git_repo, commit, path, after=after, limit=limit)
    return Folder(commit, page, last_commits(git_repo, commit, page.entries))


def last_commits(
    git_repo: pygit2.Repository, commit: str, entries: Sequence[TreeEntry]
) -> dict[str, CommitInfo]:
    """The commit that last changed each entry, by path, within a time budget."""
    names: dict[str, list[str]] = {}
    for entry in entries:
        folder, _, name = entry.path.rpartition("/")
        names.setdefault(folder, []).append(name)
    out: dict[str, CommitInfo] = {}
    commits: dict[str, CommitInfo] = {}
    budget_s = 2.0 / max(len(names), 2)
    for folder, wanted in names.items():
        found = last_commit_for_entries(git_repo, commit, folder, wanted, budget_s=budget_s)
        for name, oid in found.items():
            if oid not in commits:
                commits[oid] = get_commit(git_repo, oid)
            out[f"{folder}/{name}" if folder else name] = commits[oid]
    return out


def list_history(
    rt: Runtime, repo: Repo, rev: str, *, path: str | None = None, skip: int = 0, limit: int = 50
) -> Page[CommitInfo]:
    """Commits, newest first, with their total number; `next_cursor` is the next `skip`."""
    git_repo = open_git(rt, repo)
    commit = resolve(git_repo, rev)
    items = list_commits(git_repo, commit, skip=skip, limit=limit, path=path)
    total = count_commits(git_repo, commit, path)
    following = skip + len(items)
    return Page(items, str(following) if items and following < total else None, total)


def read_commit(
    rt: Runtime, repo: Repo, oid: str, limits: DiffLimits | None = None
) -> tuple[CommitInfo, CommitDiff]:
    """One commit and what it changed; RevisionNotFound for a branch name or an unknown id."""
    git_repo = open_git(rt, repo)
    commit = resolve(git_repo, oid)
    if not commit.startswith(oid.lower()):
        raise RevisionNotFound(lazy("Invalid rev id: %(oid)s", oid=oid))
    return get_commit(git_repo, commit), diff_commit(git_repo, commit, limits or DiffLimits())


def get_file(git_repo: pygit2.Repository, commit: str | None, path: str) -> bytes | None:
    """The bytes of a small file that must be in git itself (a card, attributes), or None."""
    if commit is None:
        return None
    entry = get_entry(git_repo, commit, path)
    if entry is None or entry.type != "file" or entry.lfs is not None or entry.size > MAX_TEXT_BYTES:
        return None
    return read_blob(git_repo, entry.oid)
