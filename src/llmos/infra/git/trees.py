"""Read trees: one entry, chosen entries, pages of a listing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal
from urllib.parse import quote_from_bytes, unquote_to_bytes

import pygit2

from llmos.core.text import lazy
from llmos.infra.git.blobs import read_blob
from llmos.infra.git.caches import LruCache
from llmos.infra.git.commits import access_commit
from llmos.infra.git.errors import EntryNotFound
from llmos.infra.git.pointers import MAX_POINTER_BYTES, LfsPointer, parse_pointer
from llmos.infra.git.treedata import (
    MODE_SUBMODULE,
    MODE_SYMLINK,
    MODE_TREE,
    RawEntry,
)
from llmos.infra.git.treewalk import entries_of, resume, walk

__all__ = [
    "TreeEntry",
    "TreePage",
    "TreeTotal",
    "access_entry",
    "entries_for_paths",
    "find_files",
    "get_entry",
    "iter_tree",
    "list_tree",
    "read_blob",
    "total_size",
    "tree_of",
]

EntryType = Literal["file", "directory", "submodule", "symlink"]
_TYPES: dict[int, EntryType] = {
    MODE_TREE: "directory",
    MODE_SYMLINK: "symlink",
    MODE_SUBMODULE: "submodule",
}


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """`path` is from the root; `size` is the blob's bytes (of the pointer, for an LFS file).

    Bytes of a name that are not UTF-8 show as U+FFFD; such an entry is listed only.
    """

    path: str
    type: EntryType
    oid: str
    size: int
    mode: int
    lfs: LfsPointer | None = None

    @property
    def content_size(self) -> int:
        """Bytes of the content: what LFS stores, or the blob itself."""
        return self.size if self.lfs is None else self.lfs.size


@dataclass(frozen=True, slots=True)
class TreePage:
    entries: list[TreeEntry]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class _BlobFacts:
    size: int
    lfs: LfsPointer | None


_blob_facts: LruCache[bytes, _BlobFacts] = LruCache(50_000)


def _facts(git_repo: pygit2.Repository, oid: bytes) -> _BlobFacts:
    known = _blob_facts.get(oid)
    if known is not None:
        return known
    odb = git_repo.odb
    git_oid = pygit2.Oid(raw=oid)
    _, size = odb.read_header(git_oid)
    lfs = parse_pointer(odb.read(git_oid)[1]) if size <= MAX_POINTER_BYTES else None
    facts = _BlobFacts(size, lfs)
    _blob_facts.put(oid, facts)
    return facts


def _describe(git_repo: pygit2.Repository, path: bytes, mode: int, oid: bytes) -> TreeEntry:
    kind = _TYPES.get(mode, "file")
    shown = path.decode("utf-8", "replace")
    if kind in ("directory", "submodule"):
        return TreeEntry(shown, kind, oid.hex(), 0, mode)
    facts = _facts(git_repo, oid)
    return TreeEntry(shown, kind, oid.hex(), facts.size, mode, facts.lfs if kind == "file" else None)


def tree_of(git_repo: pygit2.Repository, commit: str) -> str:
    """The id of a commit's root tree; RevisionNotFound if there is no such commit."""
    return str(access_commit(git_repo, commit).tree_id)


def _missing(path: str) -> EntryNotFound:
    return EntryNotFound(lazy("Entry not found: %(path)r does not exist at this revision.", path=path))


class _Finder:
    """Looks paths up in one commit, reading each folder once."""

    def __init__(self, git_repo: pygit2.Repository, root: str) -> None:
        self._git_repo = git_repo
        self._folders: dict[str, pygit2.Tree | None] = {}
        tree = git_repo[root]
        self._folders[""] = tree if isinstance(tree, pygit2.Tree) else None

    def find(self, path: str) -> pygit2.Object | None:
        # From the root down without recursion: a hostile path may have thousands of segments.
        parent = ""
        segments = path.split("/")
        for depth, segment in enumerate(segments):
            tree = self._folders[parent]
            found = _child(tree, segment) if tree is not None else None
            if depth == len(segments) - 1 or found is None:
                return found
            parent = f"{parent}/{segment}" if parent else segment
            if parent not in self._folders:
                below = self._git_repo[found.id] if isinstance(found, pygit2.Tree) else None
                self._folders[parent] = below if isinstance(below, pygit2.Tree) else None
        return None


def _child(tree: pygit2.Tree, name: str) -> pygit2.Object | None:
    if not name or "\0" in name or any(0xD800 <= ord(char) <= 0xDFFF for char in name):
        return None
    try:
        return tree[name]
    except KeyError:
        return None


def entries_for_paths(git_repo: pygit2.Repository, commit: str, paths: Iterable[str]) -> list[TreeEntry]:
    """The entries at `paths`, in their order; what does not exist is left out.

    A trailing slash is ignored; the root itself is not an entry.
    """
    finder = _Finder(git_repo, tree_of(git_repo, commit))
    entries = []
    for path in paths:
        trimmed = path.rstrip("/")
        found = finder.find(trimmed)
        if found is not None:
            mode = int(found.filemode)
            entries.append(_describe(git_repo, trimmed.encode(), mode, found.id.raw))
    return entries


def get_entry(git_repo: pygit2.Repository, commit: str, path: str) -> TreeEntry | None:
    """The entry at `path`, or None."""
    return next(iter(entries_for_paths(git_repo, commit, [path])), None)


def access_entry(git_repo: pygit2.Repository, commit: str, path: str) -> TreeEntry:
    """The entry at `path`, or EntryNotFound."""
    entry = get_entry(git_repo, commit, path)
    if entry is None:
        raise _missing(path)
    return entry


def _folder_oid(git_repo: pygit2.Repository, commit: str, path: str) -> bytes:
    root = tree_of(git_repo, commit)
    if not path:
        return bytes.fromhex(root)
    found = _Finder(git_repo, root).find(path)
    if not isinstance(found, pygit2.Tree):
        raise _missing(path)
    return found.id.raw


def _open_walk(
    git_repo: pygit2.Repository, commit: str, path: str, recursive: bool, cursor: str | None
) -> Iterator[tuple[bytes, RawEntry]]:
    path = path.strip("/")
    tree = _folder_oid(git_repo, commit, path)
    prefix = path.encode() + b"/" if path else b""
    if cursor:
        levels = resume(git_repo, tree, prefix, unquote_to_bytes(cursor), recursive)
    else:
        levels = [(prefix, iter(entries_of(git_repo, tree)))]
    return walk(git_repo, levels, recursive)


def list_tree(
    git_repo: pygit2.Repository,
    commit: str,
    path: str = "",
    *,
    recursive: bool = False,
    after: str | None = None,
    limit: int = 1000,
) -> TreePage:
    """Up to `limit` entries below a folder, in git order; folders come before what they hold.

    `after` is the `next_cursor` of the page before: the percent-encoded path, relative to the
    folder, of its last entry. The work is in proportion to the page, not to the repository.
    Raises EntryNotFound if `path` is not a folder.
    """
    start = path.strip("/")
    skip = len(start.encode()) + 1 if start else 0
    entries: list[TreeEntry] = []
    last = b""
    for raw_path, entry in _open_walk(git_repo, commit, path, recursive, after):
        if len(entries) == limit:
            return TreePage(entries, quote_from_bytes(last[skip:]))
        entries.append(_describe(git_repo, raw_path, entry.mode, entry.oid))
        last = raw_path
    return TreePage(entries, None)


def iter_tree(
    git_repo: pygit2.Repository, commit: str, path: str = "", *, recursive: bool = True
) -> Iterator[TreeEntry]:
    """Every entry below a folder, lazily."""
    for raw_path, entry in _open_walk(git_repo, commit, path, recursive, None):
        yield _describe(git_repo, raw_path, entry.mode, entry.oid)


def find_files(
    git_repo: pygit2.Repository, commit: str, is_wanted: Callable[[str], bool], *, max_entries: int
) -> list[TreeEntry]:
    """Files whose path is wanted, in git order, among the first `max_entries` of the tree."""
    found = []
    for raw_path, entry in islice(_open_walk(git_repo, commit, "", True, None), max_entries):
        if not entry.is_tree and entry.mode not in _TYPES and is_wanted(raw_path.decode("utf-8", "replace")):
            found.append(_describe(git_repo, raw_path, entry.mode, entry.oid))
    return found


@dataclass(frozen=True, slots=True)
class TreeTotal:
    """`size_bytes` counts content (LFS files by what they point to), `file_count` the files."""

    file_count: int
    size_bytes: int


def total_size(git_repo: pygit2.Repository, commit: str, path: str = "") -> TreeTotal:
    """Files below a folder at a commit, and their bytes."""
    count = size = 0
    for entry in iter_tree(git_repo, commit, path):
        if entry.type in ("file", "symlink"):
            count += 1
            size += entry.content_size
    return TreeTotal(count, size)
