"""Differences as the design system shows them."""

from __future__ import annotations

import re
from typing import Literal

from llmos.features.repos.models import Repo
from llmos.features.repos.pages.routes import file_href
from llmos.infra.git import diff as git_diff
from llmos.infra.i18n import Locale, translator
from llmos.ui.filters import filesize
from llmos.ui.views import DiffFile, DiffHunk, DiffLine

PAGE_LIMITS = git_diff.DiffLimits(max_files=100, max_lines=3_000, max_file_lines=600, budget_s=3.0)
_POINTER = "version https://git-lfs.github.com/spec/v1"
_SIZE = re.compile(r"size (\d+)")
_KINDS: dict[str, Literal["same", "added", "removed"]] = {" ": "same", "+": "added", "-": "removed"}
_STATUSES: dict[str, Literal["added", "modified", "deleted", "renamed"]] = {
    "added": "added",
    "deleted": "deleted",
    "renamed": "renamed",
    "copied": "added",
}


def diff_views(repo: Repo, diff: git_diff.CommitDiff, commit: str, locale: Locale) -> list[DiffFile]:
    return [_file(repo, file, commit, locale) for file in diff.files]


def _file(repo: Repo, file: git_diff.FileDiff, commit: str, locale: Locale) -> DiffFile:
    note = _note(file, locale)
    is_pointer = _is_pointer(file)
    return DiffFile(
        path=file.new_path,
        status=_STATUSES.get(file.status, "modified"),
        added=0 if is_pointer else file.additions,
        removed=0 if is_pointer else file.deletions,
        hunks=[] if is_pointer else [_hunk(hunk) for hunk in file.hunks],
        old_path=file.old_path if file.old_path != file.new_path else None,
        note=note,
        href=file_href(repo, "blob", commit, file.new_path) if file.new_oid else None,
    )


def _hunk(hunk: git_diff.DiffHunk) -> DiffHunk:
    lines = [DiffLine(_KINDS[line.origin], line.old_line, line.new_line, line.text) for line in hunk.lines]
    return DiffHunk(hunk.header, lines)


def _lines(file: git_diff.FileDiff, origins: str) -> str:
    return "\n".join(line.text for hunk in file.hunks for line in hunk.lines if line.origin in origins)


def _is_pointer(file: git_diff.FileDiff) -> bool:
    return any(_lines(file, origins).startswith(_POINTER) for origins in (" +", " -"))


def _note(file: git_diff.FileDiff, locale: Locale) -> str:
    _ = translator(locale).gettext
    if _is_pointer(file):
        sizes = [_SIZE.search(_lines(file, origins)) for origins in (" -", " +")]
        old, new = (filesize(int(size[1])) if size and len(size[1]) < 19 else None for size in sizes)
        if old and new and old != new:
            return _("A large file: %(old)s before, %(new)s now.") % {"old": old, "new": new}
        return _("A large file of %(size)s.") % {"size": new or old or "?"}
    if file.is_binary:
        return _("A binary file.")
    if file.truncated and not file.hunks:
        return _("Too large to show here.")
    if file.truncated:
        return _("Only the first changes of this file are shown.")
    return ""
