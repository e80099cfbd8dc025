"""Which revisions hold which large file: one walk over the history, each tree looked into once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import pygit2
from pygit2.enums import ObjectType, SortMode

from llmos.infra.git.pointers import MAX_POINTER_BYTES, parse_pointer
from llmos.infra.git.revisions import Ref, list_refs
from llmos.infra.git.treedata import read_entries

_Found = frozenset[tuple[str, str]]  # (oid, path)


@dataclass(frozen=True, slots=True)
class ObjectTrace:
    """`path` in the latest revision that holds it; `refs` (full names) with it at their tips; how many
    commits hold it."""

    path: str
    refs: tuple[str, ...]
    commit_count: int


@dataclass(frozen=True, slots=True)
class LfsHistory:
    """`is_complete` is False where time ran out: an object may then be missing, and counts are too low."""

    objects: dict[str, ObjectTrace] = field(default_factory=dict)
    commit_count: int = 0
    is_complete: bool = True


class _Trees:
    """All pointers below a tree, remembered per tree, so that history costs what changed in it."""

    def __init__(self, git_repo: pygit2.Repository) -> None:
        self._odb = git_repo.odb
        self._trees: dict[bytes, _Found] = {}
        self._blobs: dict[bytes, str | None] = {}

    def below(self, tree: bytes) -> _Found:
        known = self._trees.get(tree)
        if known is not None:
            return known
        found: set[tuple[str, str]] = set()
        for entry in read_entries(self._odb.read(pygit2.Oid(raw=tree))[1]):
            name = entry.name.decode("utf-8", "replace")
            if entry.is_tree:
                found.update((oid, f"{name}/{path}") for oid, path in self.below(entry.oid))
            elif (oid := self._pointer(entry.oid)) is not None:
                found.add((oid, name))
        self._trees[tree] = frozenset(found)
        return self._trees[tree]

    def _pointer(self, blob: bytes) -> str | None:
        if blob not in self._blobs:
            self._blobs[blob] = self._read(pygit2.Oid(raw=blob))
        return self._blobs[blob]

    def _read(self, oid: pygit2.Oid) -> str | None:
        try:
            kind, size = self._odb.read_header(oid)
        except KeyError:  # a submodule's commit lies elsewhere
            return None
        if kind != ObjectType.BLOB or size > MAX_POINTER_BYTES:
            return None
        pointer = parse_pointer(self._odb.read(oid)[1])
        return pointer.oid if pointer is not None else None


def trace_objects(git_repo: pygit2.Repository, *, budget_s: float) -> LfsHistory:
    """Every large file of every revision; tips of refs first, then commits from the newest on."""
    deadline = time.monotonic() + budget_s
    trees, refs = _Trees(git_repo), _tips(git_repo)
    paths: dict[str, str] = {}
    holders: dict[str, list[str]] = {}
    for ref in refs:
        for oid, path in sorted(trees.below(git_repo[ref.target].tree.id.raw)):
            paths.setdefault(oid, path)
            names = holders.setdefault(oid, [])
            if ref.ref not in names:
                names.append(ref.ref)
    counts: Counter[str] = Counter()
    seen, is_complete = 0, True
    for commit in _walk(git_repo, refs, SortMode.TIME):
        if time.monotonic() > deadline:
            is_complete = False
            break
        seen += 1
        found = trees.below(commit.tree_id.raw)
        counts.update({oid for oid, _ in found})
        for oid, path in found:
            paths.setdefault(oid, path)
    traces = {oid: ObjectTrace(path, tuple(holders.get(oid, ())), counts[oid]) for oid, path in paths.items()}
    return LfsHistory(traces, seen, is_complete)


def count_rewritten(git_repo: pygit2.Repository, oids: Collection[str]) -> tuple[int, list[str]]:
    """What taking these objects out of history would change: (number of commits, refs by full name).

    A commit changes if it holds one of them or descends from one that does.
    """
    wanted, trees, refs = set(oids), _Trees(git_repo), _tips(git_repo)
    changed: set[str] = set()
    for commit in _walk(git_repo, refs, SortMode.TOPOLOGICAL | SortMode.REVERSE):
        holds = any(oid in wanted for oid, _ in trees.below(commit.tree_id.raw))
        if holds or any(str(parent) in changed for parent in commit.parent_ids):
            changed.add(str(commit.id))
    return len(changed), [ref.ref for ref in refs if ref.target in changed]


def _tips(git_repo: pygit2.Repository) -> list[Ref]:
    found = list_refs(git_repo)
    branches = sorted(found.branches, key=lambda ref: (ref.name != "main", ref.name))
    return [*branches, *found.tags, *found.pulls, *found.converts]


def _walk(git_repo: pygit2.Repository, refs: list[Ref], order: SortMode) -> Iterator[pygit2.Commit]:
    if not refs:
        return
    walker = git_repo.walk(refs[0].target, order)
    for ref in refs[1:]:
        walker.push(ref.target)
    yield from walker
