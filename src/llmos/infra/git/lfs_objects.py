"""Large files in history: where a pointer lies, and how it is taken out of every commit."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import pygit2
from pygit2.enums import ObjectType, SortMode

from llmos.infra.git.objects import ObjectWriter
from llmos.infra.git.pointers import MAX_POINTER_BYTES, parse_pointer
from llmos.infra.git.refs import RefUpdate, update_refs
from llmos.infra.git.revisions import BRANCH_PREFIX, Ref, list_refs
from llmos.infra.git.treedata import format_tree, parse_tree, read_entries
from llmos.infra.git.writer import EMPTY_TREE

_SEARCH_BUDGET_S = 5.0


@dataclass(frozen=True, slots=True)
class PointerPlace:
    """One place of a large file: `ref` is a branch name or a full ref, None if only in history."""

    path: str
    ref: str | None


def _all_refs(git_repo: pygit2.Repository) -> list[Ref]:
    """Branches first and `main` before the others, then pull requests, conversions and tags."""
    found = list_refs(git_repo)
    branches = sorted(found.branches, key=lambda ref: (ref.name != "main", ref.name))
    return [*branches, *found.pulls, *found.converts, *found.tags]


class _Trees:
    """Finds pointers to wanted objects, looking into every tree once."""

    def __init__(self, git_repo: pygit2.Repository, wanted: Collection[str]) -> None:
        self.git_repo = git_repo
        self.wanted = wanted
        self._seen: set[bytes] = set()
        self._pointers: dict[bytes, str | None] = {}

    def find(self, tree: bytes, prefix: str = "") -> Iterator[tuple[str, str]]:
        """`(oid, path)` of each wanted pointer below a tree not looked into before."""
        stack = [(tree, prefix)]
        while stack:
            current, folder = stack.pop()
            if current in self._seen:
                continue
            self._seen.add(current)
            for entry in read_entries(self.git_repo.odb.read(pygit2.Oid(raw=current))[1]):
                path = folder + entry.name.decode("utf-8", "replace")
                if entry.is_tree:
                    stack.append((entry.oid, path + "/"))
                elif (oid := self.pointer(entry.oid)) is not None:
                    yield oid, path

    def pointer(self, blob: bytes) -> str | None:
        """The wanted object a blob points to."""
        if blob not in self._pointers:
            self._pointers[blob] = self._read_pointer(blob)
        return self._pointers[blob]

    def _read_pointer(self, blob: bytes) -> str | None:
        odb, oid = self.git_repo.odb, pygit2.Oid(raw=blob)
        try:
            kind, size = odb.read_header(oid)
        except KeyError:  # a submodule's commit lies elsewhere
            return None
        if kind != ObjectType.BLOB or size > MAX_POINTER_BYTES:
            return None
        pointer = parse_pointer(odb.read(oid)[1])
        return pointer.oid if pointer is not None and pointer.oid in self.wanted else None


def locate_objects(git_repo: pygit2.Repository, oids: Collection[str]) -> dict[str, PointerPlace]:
    """A place of each large object: at the tip of a ref if possible, else somewhere in history.

    What is not found within a few seconds is absent.
    """
    trees, found = _Trees(git_repo, set(oids)), dict[str, PointerPlace]()
    refs = _all_refs(git_repo)
    for ref in refs:
        name = ref.name if ref.ref.startswith(BRANCH_PREFIX) else ref.ref
        for oid, path in trees.find(git_repo[ref.target].tree.id.raw):
            found.setdefault(oid, PointerPlace(path, name))
    deadline = time.monotonic() + _SEARCH_BUDGET_S
    for commit in _walk(git_repo, refs, SortMode.TIME):
        if len(found) == len(trees.wanted) or time.monotonic() > deadline:
            break
        for oid, path in trees.find(commit.tree_id.raw):
            found.setdefault(oid, PointerPlace(path, None))
    return found


def _walk(git_repo: pygit2.Repository, refs: list[Ref], order: SortMode) -> Iterator[pygit2.Commit]:
    if not refs:
        return
    walker = git_repo.walk(refs[0].target, order)
    for ref in refs[1:]:
        walker.push(ref.target)
    yield from walker


def drop_objects(git_repo: pygit2.Repository, oids: Collection[str]) -> list[RefUpdate]:
    """Take every pointer to these objects out of the history of every ref, and move the refs.

    Commits keep their authors, times and messages; those that held no such pointer and have no
    rewritten parent keep their id. Annotated tags on rewritten commits become plain ones.
    All refs move or none: RefConflict if one was moved meanwhile. Returns the moves.
    """
    refs = _all_refs(git_repo)
    with ObjectWriter(git_repo) as writer:
        rewriter = _Rewriter(git_repo, writer, set(oids))
        for commit in _walk(git_repo, refs, SortMode.TOPOLOGICAL | SortMode.REVERSE):
            rewriter.rewrite(commit)
        writer.flush()
    moves = [
        RefUpdate(ref.ref, rewriter.commits[ref.target], ref.tag_oid or ref.target)
        for ref in refs
        if rewriter.commits[ref.target] != ref.target
    ]
    if moves:
        update_refs(git_repo, moves)
    return moves


class _Rewriter:
    def __init__(self, git_repo: pygit2.Repository, writer: ObjectWriter, oids: Collection[str]) -> None:
        self.writer = writer
        self.git_repo = git_repo
        self.commits: dict[str, str] = {}
        self._finder = _Trees(git_repo, oids)
        self._trees: dict[bytes, bytes | None] = {}

    def rewrite(self, commit: pygit2.Commit) -> None:
        """Parents come before children, so their new ids are known."""
        old_tree, old_parents = commit.tree_id.raw, [str(parent) for parent in commit.parent_ids]
        tree = self._tree(old_tree) or bytes.fromhex(self.writer.write("tree", b""))
        parents = [self.commits.get(parent, parent) for parent in old_parents]
        if tree == old_tree and parents == old_parents:
            self.commits[str(commit.id)] = str(commit.id)
            return
        _, rest = commit.read_raw().split(b"\n", 1)
        kept = b"\n".join(_without_parents_and_signature(rest))
        head = [b"tree " + tree.hex().encode(), *(b"parent " + parent.encode() for parent in parents)]
        self.commits[str(commit.id)] = self.writer.write("commit", b"\n".join(head) + b"\n" + kept)

    def _tree(self, oid: bytes) -> bytes | None:
        """The tree without the pointers; None if nothing is left of it."""
        if oid.hex() == EMPTY_TREE:
            return None
        if oid not in self._trees:
            self._trees[oid] = self._new_tree(oid)
        return self._trees[oid]

    def _new_tree(self, oid: bytes) -> bytes | None:
        old = parse_tree(self.writer.read_tree(oid.hex()))
        new = dict(old)
        for name, entry in old.items():
            if entry.is_tree:
                below = self._tree(entry.oid)
                if below is None:
                    del new[name]
                else:
                    new[name] = entry._replace(oid=below)
            elif self._finder.pointer(entry.oid) is not None:
                del new[name]
        if new == old:
            return oid
        return bytes.fromhex(self.writer.write("tree", format_tree(new))) if new else None


def _without_parents_and_signature(raw: bytes) -> list[bytes]:
    """Lines of a commit after its tree; a signature would not fit the rewritten commit."""
    headers, _, message = raw.partition(b"\n\n")
    kept: list[bytes] = []
    is_dropping = False
    for line in headers.split(b"\n"):
        is_continued = line.startswith(b" ")
        if not is_continued:
            is_dropping = line.startswith((b"parent ", b"gpgsig"))
        if not is_dropping:
            kept.append(line)
    return [*kept, b"", message]
