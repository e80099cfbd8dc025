"""Which commit last changed each entry of a folder, in one walk through history."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable

import pygit2

from llmos.infra.git.caches import LruCache
from llmos.infra.git.commits import access_commit
from llmos.infra.git.treedata import parse_tree

DEFAULT_BUDGET_S = 1.0
_Oids = dict[bytes, bytes]

_known: LruCache[tuple[str, str, str], str] = LruCache(100_000)


def last_commit_for_entries(
    git_repo: pygit2.Repository,
    commit: str,
    folder: str,
    names: Iterable[str],
    *,
    budget_s: float = DEFAULT_BUDGET_S,
) -> dict[str, str]:
    """Map the names of entries of `folder` (`""`: the root) to the id of the commit that
    last changed each, as `git log -1 <commit> -- <folder>/<name>` would answer.

    Stops after `budget_s` seconds; what was not found by then, or does not exist, is absent.
    Answers are remembered, so that the next call goes on for the rest.
    """
    folder = folder.strip("/")
    found: dict[str, str] = {}
    wanted: dict[bytes, str] = {}
    for name in names:
        known = _known.get((commit, folder, name))
        if known is not None:
            found[name] = known
        else:
            wanted[name.encode("utf-8", "surrogateescape")] = name
    if wanted:
        walk = _Walk(git_repo, folder, time.monotonic() + budget_s)
        for raw_name, oid in walk.run(access_commit(git_repo, commit), set(wanted)).items():
            found[wanted[raw_name]] = oid
            _known.put((commit, folder, wanted[raw_name]), oid)
    return found


class _Walk:
    """Newest commit first, each with the names whose last change is still looked for there.

    A name moves on to the first parent that holds it unchanged, git's own simplification of
    history; if no parent does, the commit is the answer.
    """

    def __init__(self, git_repo: pygit2.Repository, folder: str, deadline: float) -> None:
        self._git_repo = git_repo
        self._segments = folder.split("/") if folder else []
        self._deadline = deadline
        self._queue: list[tuple[int, str]] = []
        self._pending: dict[str, set[bytes]] = {}
        self._entries: LruCache[str, _Oids] = LruCache(8)
        self._found: dict[bytes, str] = {}

    def run(self, start: pygit2.Commit, names: set[bytes]) -> dict[bytes, str]:
        here = self._read(self._tree_oid(start))
        self._push(start, {name for name in names if name in here})
        while self._queue and time.monotonic() < self._deadline:
            _, oid = heapq.heappop(self._queue)
            looked_for = self._pending.pop(oid, None)
            if looked_for:
                self._step(access_commit(self._git_repo, oid), looked_for)
        return self._found

    def _push(self, commit: pygit2.Commit, names: set[bytes]) -> None:
        if names:
            oid = str(commit.id)
            waiting = self._pending.get(oid)
            if waiting is None:
                self._pending[oid] = set(names)
                heapq.heappush(self._queue, (-commit.commit_time, oid))
            else:
                waiting |= names

    def _step(self, commit: pygit2.Commit, names: set[bytes]) -> None:
        tree = self._tree_oid(commit)
        for parent in commit.parents:
            parent_tree = self._tree_oid(parent)
            if parent_tree == tree:
                self._push(parent, names)
                return
            here, there = self._read(tree), self._read(parent_tree)
            unchanged = {name for name in names if there.get(name) == here[name]}
            self._push(parent, unchanged)
            names = names - unchanged
            if not names:
                return
        for name in names:
            self._found[name] = str(commit.id)

    def _tree_oid(self, commit: pygit2.Commit) -> str | None:
        tree: pygit2.Object = commit.tree
        for segment in self._segments:
            try:
                tree = tree[segment]  # type: ignore[index]
            except KeyError:
                return None
            if not isinstance(tree, pygit2.Tree):
                return None
        return str(tree.id)

    def _read(self, tree: str | None) -> _Oids:
        """Entry ids by name; the mode counts as part of the entry, as it does for git."""
        if tree is None:
            return {}
        held = self._entries.get(tree)
        if held is None:
            data = self._git_repo.odb.read(pygit2.Oid(hex=tree))[1]
            held = {name: b"%o" % entry.mode + entry.oid for name, entry in parse_tree(data).items()}
            self._entries.put(tree, held)
        return held
