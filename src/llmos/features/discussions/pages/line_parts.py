"""Lines of files that comments speak of: read, and found again after more commits."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import lru_cache

import pygit2

from llmos.core.errors import LlmosError
from llmos.features.discussions.models import Comment, ReviewNote
from llmos.features.discussions.pages.thread_parts import LinePart
from llmos.features.discussions.pull_state import PullState
from llmos.infra.git.trees import get_entry, read_blob

MAX_FILE_BYTES = 512 * 1024
LINES_ABOVE = 3


def read_lines(git_repo: pygit2.Repository, commit: str | None, path: str) -> Sequence[str]:
    """The lines of a text file at a commit; none where it is not there, large or not text."""
    if commit is None:
        return ()
    return _read(git_repo.path, commit, path)


@lru_cache(maxsize=16)
def _read(git_path: str, commit: str, path: str) -> tuple[str, ...]:
    git_repo = pygit2.Repository(git_path)
    try:
        entry = get_entry(git_repo, commit, path)
    except LlmosError:
        return ()
    if entry is None or entry.type != "file" or entry.lfs is not None or entry.size > MAX_FILE_BYTES:
        return ()
    data = read_blob(git_repo, entry.oid)
    if b"\0" in data[:8000]:
        return ()
    return tuple(data.decode("utf-8", "replace").splitlines())


def line_part(git_repo: pygit2.Repository | None, comment: Comment | ReviewNote, href: str) -> LinePart:
    """The place of a line comment with the lines themselves, as they were when it was written."""
    assert comment.path is not None
    last = comment.line or 1
    first = comment.start_line or last
    shown: list[tuple[int, str]] = []
    # An answer stands below what it answers: the lines need not be shown again.
    if git_repo is not None and comment.reply_to_id is None:
        lines = read_lines(git_repo, comment.oid, comment.path)
        start = max(1, first if first < last else last - LINES_ABOVE + 1, last - 20)
        shown = [(number, lines[number - 1]) for number in range(start, last + 1) if number <= len(lines)]
    return LinePart(
        path=comment.path,
        first=first,
        last=last,
        side=comment.side or "new",
        is_resolved=isinstance(comment, Comment) and comment.resolved_at is not None,
        lines=shown,
        href=f"{href}/files#comment-{comment.public_id}",
    )


def current_line(git_repo: pygit2.Repository, comment: Comment | ReviewNote, state: PullState) -> int | None:
    """The number the comment's last line has in the files as they are now; None: it was changed."""
    now = state.fork_oid if comment.side == "old" else state.head_oid
    if comment.path is None or comment.line is None or comment.oid is None:
        return None
    if comment.oid == now:
        return comment.line
    return _follow(git_repo.path, comment.oid, now or "", comment.path).get(comment.line)


@lru_cache(maxsize=16)
def _follow(git_path: str, then: str, now: str, path: str) -> dict[int, int]:
    old, new = _read(git_path, then, path), _read(git_path, now, path) if now else ()
    if old == new:
        return {number: number for number in range(1, len(old) + 1)}
    if not new or len(old) + len(new) > 20_000:
        return {}
    blocks = difflib.SequenceMatcher(None, old, new, autojunk=len(old) > 2000).get_matching_blocks()
    return {block.a + step + 1: block.b + step + 1 for block in blocks for step in range(block.size)}
