"""What changed between two commits, within limits."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import pygit2
from pygit2.enums import DeltaStatus, DiffFind, DiffOption

from llmos.infra.git.commits import access_commit
from llmos.infra.git.process import read_git
from llmos.infra.git.writer import EMPTY_TREE

Status = Literal["added", "deleted", "modified", "renamed", "copied", "typechange"]
_STATUSES: dict[int, Status] = {
    DeltaStatus.ADDED: "added",
    DeltaStatus.DELETED: "deleted",
    DeltaStatus.MODIFIED: "modified",
    DeltaStatus.RENAMED: "renamed",
    DeltaStatus.COPIED: "copied",
    DeltaStatus.TYPECHANGE: "typechange",
}
_RENAME_THRESHOLD = 50
_MAX_RENAME_SOURCES = 400
_MAX_RENAME_FILES = 2000
_SUBMODULE = 0o160000


@dataclass(frozen=True, slots=True)
class DiffLimits:
    """What a page or an answer can carry; beyond it things are counted but left out."""

    max_files: int = 300
    max_lines: int = 20_000
    max_file_lines: int = 3_000
    max_blob_bytes: int = 1024 * 1024
    budget_s: float = 5.0
    context_lines: int = 3


@dataclass(frozen=True, slots=True)
class DiffLine:
    """`origin` is `+`, `-` or a space; a line number is None where the line does not exist."""

    origin: str
    old_line: int | None
    new_line: int | None
    text: str


@dataclass(frozen=True, slots=True)
class DiffHunk:
    header: str
    old_start: int
    old_lines: int
    new_start: int
    new_lines: int
    lines: tuple[DiffLine, ...]


@dataclass(frozen=True, slots=True)
class FileDiff:
    """One changed file. `old_oid`/`new_oid` is None where the file does not exist.

    `truncated` says that hunks are missing for size; additions and deletions are then 0 if
    the file was too large to compare at all.
    """

    status: Status
    old_path: str
    new_path: str
    old_oid: str | None
    new_oid: str | None
    old_mode: int
    new_mode: int
    additions: int
    deletions: int
    is_binary: bool
    truncated: bool
    hunks: tuple[DiffHunk, ...]


@dataclass(frozen=True, slots=True)
class CommitDiff:
    """`file_count` counts all changed files; `files` holds the first of them.

    `additions` and `deletions` are sums over `files`; `truncated`: something was left out.
    """

    files: tuple[FileDiff, ...]
    file_count: int
    additions: int
    deletions: int
    truncated: bool


def diff_commits(
    git_repo: pygit2.Repository,
    old: str | None,
    new: str,
    limits: DiffLimits = DiffLimits(),
) -> CommitDiff:
    """The difference from commit `old` (None: nothing) to commit `new`, renames detected."""
    new_tree = access_commit(git_repo, new).tree
    flags = DiffOption.INCLUDE_TYPECHANGE
    context = limits.context_lines
    if old is None:
        diff = new_tree.diff_to_tree(flags=flags, context_lines=context, swap=True)
    else:
        old_tree = access_commit(git_repo, old).tree
        diff = old_tree.diff_to_tree(new_tree, flags=flags, context_lines=context)
    if len(diff) <= _MAX_RENAME_FILES:
        diff.find_similar(DiffFind.FIND_RENAMES, _RENAME_THRESHOLD, 50, 60, _MAX_RENAME_SOURCES)
    return _Reader(git_repo, limits).read(diff)


def diff_commit(
    git_repo: pygit2.Repository,
    commit: str,
    limits: DiffLimits = DiffLimits(),
) -> CommitDiff:
    """What a commit changed against its first parent."""
    parents = access_commit(git_repo, commit).parent_ids
    return diff_commits(git_repo, str(parents[0]) if parents else None, commit, limits)


class _Reader:
    def __init__(self, git_repo: pygit2.Repository, limits: DiffLimits) -> None:
        self._git_repo = git_repo
        self._limits = limits
        self._lines_left = limits.max_lines
        self._deadline = time.monotonic() + limits.budget_s

    def read(self, diff: pygit2.Diff) -> CommitDiff:
        files = []
        for number, delta in enumerate(diff.deltas):
            if number == self._limits.max_files:
                break
            files.append(self._file(diff, number, delta))
        return CommitDiff(
            files=tuple(files),
            file_count=len(diff),
            additions=sum(file.additions for file in files),
            deletions=sum(file.deletions for file in files),
            truncated=len(files) < len(diff) or any(file.truncated for file in files),
        )

    def _file(self, diff: pygit2.Diff, number: int, delta: pygit2.DiffDelta) -> FileDiff:
        is_large = self._is_large(delta.old_file) or self._is_large(delta.new_file)
        is_out = is_large or self._lines_left <= 0 or time.monotonic() > self._deadline
        # The patch is made here, on demand: an unread large file costs nothing.
        patch = None if is_out else diff[number]
        additions = deletions = 0
        hunks: tuple[DiffHunk, ...] = ()
        is_cut = False
        if patch is not None:
            _, additions, deletions = patch.line_stats
            hunks, is_cut = self._hunks(patch)
            delta = patch.delta
        old, new = delta.old_file, delta.new_file
        return FileDiff(
            status=_STATUSES.get(delta.status, "modified"),
            old_path=old.raw_path.decode("utf-8", "replace"),
            new_path=new.raw_path.decode("utf-8", "replace"),
            old_oid=_oid(old),
            new_oid=_oid(new),
            old_mode=int(old.mode),
            new_mode=int(new.mode),
            additions=additions,
            deletions=deletions,
            is_binary=bool(delta.is_binary),
            truncated=is_out or is_cut,
            hunks=hunks,
        )

    def _is_large(self, file: pygit2.DiffFile) -> bool:
        if _oid(file) is None or file.mode == _SUBMODULE:
            return False
        return self._git_repo.odb.read_header(file.id)[1] > self._limits.max_blob_bytes

    def _hunks(self, patch: pygit2.Patch) -> tuple[tuple[DiffHunk, ...], bool]:
        room = min(self._limits.max_file_lines, self._lines_left)
        hunks = []
        is_cut = False
        for hunk in patch.hunks:
            if room <= 0:
                is_cut = True
                break
            lines = []
            for line in hunk.lines:
                if line.origin not in "+- ":
                    continue
                if room <= 0:
                    is_cut = True
                    break
                lines.append(_line(line))
                room -= 1
                self._lines_left -= 1
            hunks.append(_hunk(hunk, lines))
        return tuple(hunks), is_cut


def _oid(file: pygit2.DiffFile) -> str | None:
    oid = str(file.id)
    return None if oid.strip("0") == "" else oid


def _line(line: pygit2.DiffLine) -> DiffLine:
    return DiffLine(
        origin=line.origin,
        old_line=line.old_lineno if line.old_lineno > 0 else None,
        new_line=line.new_lineno if line.new_lineno > 0 else None,
        text=line.raw_content.decode("utf-8", "replace").removesuffix("\n"),
    )


def _hunk(hunk: pygit2.DiffHunk, lines: list[DiffLine]) -> DiffHunk:
    return DiffHunk(
        header=hunk.header.rstrip("\n"),
        old_start=hunk.old_start,
        old_lines=hunk.old_lines,
        new_start=hunk.new_start,
        new_lines=hunk.new_lines,
        lines=tuple(lines),
    )


def raw_diff(
    git_repo: pygit2.Repository, old: str | None, new: str, *, max_bytes: int = 10 * 1024 * 1024
) -> tuple[bytes, bool]:
    """The patch from `old` (None: nothing) to `new` as `git apply` reads it, and whether it was
    cut at `max_bytes`."""
    before = EMPTY_TREE if old is None else str(access_commit(git_repo, old).id)
    after = str(access_commit(git_repo, new).id)
    options = ["-p", "-M", "--binary", "--full-index", "--no-ext-diff", "--no-textconv"]
    return read_git(git_repo.path, "diff-tree", *options, before, after, max_bytes=max_bytes)
