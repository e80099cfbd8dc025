"""Walk a tree in git order, starting anywhere."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

import pygit2

from llmos.infra.git.treedata import RawEntry, read_entries


def entries_of(git_repo: pygit2.Repository, tree: bytes) -> list[RawEntry]:
    return read_entries(git_repo.odb.read(pygit2.Oid(raw=tree))[1])


Level = tuple[bytes, Iterator[RawEntry]]


def resume(
    git_repo: pygit2.Repository, tree: bytes, prefix: bytes, after: bytes, recursive: bool
) -> list[Level]:
    """The open folders, outermost first, as they stood when `after` had just been listed."""
    levels: list[Level] = []
    segments = after.split(b"/") if recursive else [after]
    for depth, name in enumerate(segments):
        entries = entries_of(git_repo, tree)
        held = next((entry for entry in entries if entry.name == name), None)
        key = held.sort_key if held is not None else name
        start = bisect_right(entries, key, key=lambda entry: entry.sort_key)
        levels.append((prefix, iter(entries[start:])))
        if held is None or not held.is_tree or not recursive:
            break
        prefix, tree = prefix + name + b"/", held.oid
        if depth == len(segments) - 1:
            levels.append((prefix, iter(entries_of(git_repo, tree))))
    return levels


def walk(
    git_repo: pygit2.Repository, levels: list[Level], recursive: bool
) -> Iterator[tuple[bytes, RawEntry]]:
    """Depth first in git order, holding only the folders on the way down."""
    while levels:
        prefix, entries = levels[-1]
        entry = next(entries, None)
        if entry is None:
            levels.pop()
            continue
        path = prefix + entry.name
        yield path, entry
        if recursive and entry.is_tree:
            levels.append((path + b"/", iter(entries_of(git_repo, entry.oid))))
