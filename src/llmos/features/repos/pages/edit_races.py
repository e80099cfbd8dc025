"""Two who edit at once: a change elsewhere on the branch is no quarrel, one of the same file is shown."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

import pygit2

from llmos.core.errors import LlmosError
from llmos.features.repos.pages.previews import MAX_TEXT_BYTES
from llmos.infra.git.trees import TreeEntry, get_entry, read_blob
from llmos.ui.views import DiffFile, DiffHunk, DiffLine

MAX_LINES = 20_000


def refresh_parent(
    git_repo: pygit2.Repository, parent: str, head: str | None, path: str, entry: TreeEntry | None
) -> str:
    """The commit to write onto: `head` where the file is still what it was at `parent`, else `parent`."""
    if not head or not re.fullmatch(r"[0-9a-f]{40}", parent) or parent == head or not path:
        return parent
    try:
        then = get_entry(git_repo, parent, path)
    except LlmosError:  # a commit that is gone: the branch was rewritten
        return parent
    then_oid, now_oid = then.oid if then else None, entry.oid if entry else None
    return head if then_oid == now_oid else parent


def compare_with_newer(
    git_repo: pygit2.Repository, entry: TreeEntry | None, path: str, text: str
) -> DiffFile | None:
    """What saving `text` would change in the file as it is by now; None where that is no text."""
    if entry is None or entry.type != "file" or entry.lfs is not None or entry.size > MAX_TEXT_BYTES:
        return None
    try:
        newer = read_blob(git_repo, entry.oid).decode("utf-8")
    except UnicodeDecodeError:
        return None
    old, new = newer.splitlines(), text.splitlines()
    if len(old) + len(new) > MAX_LINES:
        return None
    hunks = [DiffHunk(_header(group), list(_lines(group, old, new))) for group in _groups(old, new)]
    lines = [line for hunk in hunks for line in hunk.lines]
    added, removed = (sum(line.kind == kind for line in lines) for kind in ("added", "removed"))
    return DiffFile(path, "modified", added, removed, hunks)


_Group = list[tuple[str, int, int, int, int]]


def _groups(old: list[str], new: list[str]) -> Iterator[_Group]:
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=len(old) > 2000)
    for group in matcher.get_grouped_opcodes(3):
        yield [(str(tag), a, b, c, d) for tag, a, b, c, d in group]


def _header(group: _Group) -> str:
    first, last = group[0], group[-1]
    return f"@@ -{first[1] + 1},{last[2] - first[1]} +{first[3] + 1},{last[4] - first[3]} @@"


def _lines(group: _Group, old: list[str], new: list[str]) -> Iterator[DiffLine]:
    for tag, old_start, old_end, new_start, new_end in group:
        if tag == "equal":
            for step in range(old_end - old_start):
                number = old_start + step
                yield DiffLine("same", number + 1, new_start + step + 1, old[number])
            continue
        for number in range(old_start, old_end):
            yield DiffLine("removed", number + 1, None, old[number])
        for number in range(new_start, new_end):
            yield DiffLine("added", None, number + 1, new[number])
