"""Which commit last changed each entry of a folder, in one walk through history."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable

import pygit2
from pygit2.enums import DiffOption

from llmos.infra.git.caches import LruCache
from llmos.infra.git.commits import access_commit
from llmos.infra.git.treewalk import entries_of

DEFAULT_BUDGET_S = 1.0

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
    Answers are remembered; a long history asks for a larger budget in the background first.
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
        self._found: dict[bytes, str] = {}

    def run(self, start: pygit2.Commit, names: set[bytes]) -> dict[bytes, str]:
        tree = self._tree(start)
        if tree is not None:
            here = {entry.name for entry in entries_of(self._git_repo, tree.id.raw)}
            self._push(start, names & here)
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
        tree = self._tree(commit)
        for parent in commit.parents:
            unchanged = names - _changed(self._tree(parent), tree, names)
            self._push(parent, unchanged)
            names = names - unchanged
            if not names:
                return
        for name in names:
            self._found[name] = str(commit.id)

    def _tree(self, commit: pygit2.Commit) -> pygit2.Tree | None:
        tree = commit.tree
        for segment in self._segments:
            try:
                below = tree[segment]
            except KeyError:
                return None
            if not isinstance(below, pygit2.Tree):
                return None
            tree = below
        return tree


def _changed(old: pygit2.Tree | None, new: pygit2.Tree | None, names: set[bytes]) -> set[bytes]:
    """Names directly in a folder whose entries differ, or all of `names` if one side is missing."""
    if old is None or new is None:
        return names
    if old.id == new.id:
        return set()
    changed = set()
    for delta in old.diff_to_tree(new, flags=DiffOption.SKIP_BINARY_CHECK).deltas:
        for path in (delta.old_file.raw_path, delta.new_file.raw_path):
            changed.add(path.partition(b"/")[0])
    return changed
