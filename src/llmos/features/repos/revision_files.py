"""The files of one revision, opened for the index: small ones whole, large ones by their header."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import pygit2
from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.errors import EntryNotFound
from llmos.features.repos.cards.weights import Reader
from llmos.features.repos.files import LargeFileRef, open_large_file
from llmos.features.repos.models import Repo
from llmos.infra.git.repository import open_repo
from llmos.infra.git.trees import TreeEntry, iter_tree, read_blob
from llmos.infra.runtime import Runtime

MAX_SMALL_FILE_BYTES = 5 * 1024 * 1024


class RevisionFiles:
    """Files of a commit by path. Belongs to one thread, as its git handle does."""

    def __init__(self, rt: Runtime, git_path: Path, commit: str, db: Session | None = None) -> None:
        self._rt = rt
        self._db = db
        self._git_path = git_path
        self._object_id = git_path.stem
        self.git_repo: pygit2.Repository = open_repo(git_path)
        self.commit = commit

    @cached_property
    def entries(self) -> dict[str, TreeEntry]:
        """Every file (and symbolic link) of the revision, in git order."""
        return {entry.path: entry for entry in self._walk()}

    def _walk(self) -> Iterator[TreeEntry]:
        for entry in iter_tree(self.git_repo, self.commit):
            if entry.type in ("file", "symlink"):
                yield entry

    def read_small(self, path: str, limit_bytes: int = MAX_SMALL_FILE_BYTES) -> bytes | None:
        """The whole content; None where there is no such file or it is larger than the limit."""
        entry = self.entries.get(path)
        if entry is None or entry.type != "file" or entry.content_size > limit_bytes:
            return None
        if entry.lfs is None:
            return read_blob(self.git_repo, entry.oid)
        reader = self.reader(path)
        return reader(0, entry.lfs.size) if reader else None

    def sha256(self, path: str) -> str | None:
        """The digest of a file's content in hex; None where there is no such file.

        That of a large one is its name, and only that of one whose bytes this repository has proved to have.
        """
        entry = self.entries.get(path)
        if entry is None or entry.type != "file":
            return None
        if entry.lfs is not None:
            return entry.lfs.oid if self._large_file(entry.lfs.oid) is not None else None
        return hashlib.sha256(read_blob(self.git_repo, entry.oid)).hexdigest()

    def at(self, rt: Runtime, commit: str) -> RevisionFiles:
        """The files of another commit of the repository."""
        return RevisionFiles(rt, self._git_path, commit, self._db)

    def reader(self, path: str) -> Reader | None:
        """A `read(offset, length)` over the content; None where its bytes are not here (yet)."""
        entry = self.entries.get(path)
        if entry is None or entry.type != "file":
            return None
        if entry.lfs is None:
            data = read_blob(self.git_repo, entry.oid)
            return lambda offset, length: data[offset : offset + length]
        large = self._large_file(entry.lfs.oid)
        if large is None:
            return None
        return lambda offset, length: _read_range(self._rt, large, offset, length)

    def _large_file(self, oid: str) -> LargeFileRef | None:
        """The large object, only if this repository has claimed it: a pointer proves nothing."""
        if self._db is not None:
            return self._open_large(self._db, oid)
        with self._rt.database.reading() as db:
            return self._open_large(db, oid)

    def _open_large(self, db: Session, oid: str) -> LargeFileRef | None:
        repo = db.scalars(select(Repo).where(Repo.object_id == self._object_id)).unique().one_or_none()
        if repo is None:
            return None
        try:
            return open_large_file(db, self._rt, repo, oid)
        except EntryNotFound:
            return None


def _read_range(rt: Runtime, large: LargeFileRef, offset: int, length: int) -> bytes:
    end = min(offset + length, large.size_bytes)
    return b"".join(large.stream(rt, offset, end)) if end > offset else b""
