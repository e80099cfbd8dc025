"""Read commits: one, a page of history, how many, and who wrote which line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from typing import cast

import pygit2
from pygit2.enums import ObjectType, SortMode

from llmos.core.text import lazy
from llmos.infra.git.caches import LruCache
from llmos.infra.git.errors import RevisionNotFound
from llmos.infra.git.process import run_git

_MAX_TIMESTAMP_S = 253402300799  # the end of year 9999, the last that datetime can hold
_HISTORY_TIMEOUT_S = 20.0
_BLAME_GROUP = re.compile(rb"^([0-9a-f]{40}) (\d+) (\d+) (\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class CommitInfo:
    """`message` is whole; `title` its first line, `body` what follows the blank line."""

    oid: str
    title: str
    body: str
    message: str
    author_name: str
    author_email: str
    authored_at: datetime
    committer_name: str
    committer_email: str
    committed_at: datetime
    parents: tuple[str, ...]
    tree: str


@dataclass(frozen=True, slots=True)
class BlameHunk:
    """Lines `first_line` … `first_line + line_count - 1`, from 1, last changed by `commit`."""

    commit: str
    first_line: int
    line_count: int


_counts: LruCache[tuple[str, str], int] = LruCache(10_000)


def _moment(seconds: int, offset_minutes: int) -> datetime:
    seconds = min(max(seconds, 0), _MAX_TIMESTAMP_S)
    at = datetime.fromtimestamp(seconds, UTC)
    try:
        return at.astimezone(timezone(timedelta(minutes=offset_minutes)))
    except (ValueError, OverflowError):
        return at


def commit_info(commit: pygit2.Commit) -> CommitInfo:
    """A commit's facts; bytes that are not UTF-8 show as U+FFFD."""
    message = commit.raw_message.decode("utf-8", "replace")
    title, _, body = message.strip("\n").partition("\n")
    author, committer = commit.author, commit.committer
    return CommitInfo(
        oid=str(commit.id),
        title=title.strip(),
        body=body.strip("\n"),
        message=message,
        author_name=author.raw_name.decode("utf-8", "replace"),
        author_email=author.raw_email.decode("utf-8", "replace"),
        authored_at=_moment(author.time, author.offset),
        committer_name=committer.raw_name.decode("utf-8", "replace"),
        committer_email=committer.raw_email.decode("utf-8", "replace"),
        committed_at=_moment(committer.time, committer.offset),
        parents=tuple(str(parent) for parent in commit.parent_ids),
        tree=str(commit.tree_id),
    )


def access_commit(git_repo: pygit2.Repository, oid: str) -> pygit2.Commit:
    """The commit object with this full id; RevisionNotFound if there is none."""
    try:
        found = git_repo[oid]
    except (KeyError, ValueError) as error:
        raise RevisionNotFound(lazy("Invalid rev id: %(oid)s", oid=oid[:40])) from error
    if found.type != ObjectType.COMMIT:
        raise RevisionNotFound(lazy("Invalid rev id: %(oid)s is not a commit", oid=oid[:40]))
    return cast(pygit2.Commit, found)


def get_commit(git_repo: pygit2.Repository, oid: str) -> CommitInfo:
    return commit_info(access_commit(git_repo, oid))


def list_commits(
    git_repo: pygit2.Repository,
    commit: str,
    *,
    skip: int = 0,
    limit: int = 50,
    path: str | None = None,
) -> list[CommitInfo]:
    """The history of `commit`, itself first, newest first, as `git log` orders it.

    With `path`, only commits that changed that file or folder. History is immutable, so
    `skip` is a stable cursor as long as `commit` is an id. GitTimeout if it takes too long.
    """
    start = access_commit(git_repo, commit)
    if path is None:
        # By time alone, commits of one second would come out in any order.
        walker = git_repo.walk(start.id, SortMode.TOPOLOGICAL | SortMode.TIME)
        return [commit_info(found) for found in islice(walker, skip, skip + limit)]
    options = [f"--skip={skip}", f"--max-count={limit}", str(start.id), "--", path.strip("/")]
    listed = run_git(git_repo.path, "rev-list", *options, timeout_s=_HISTORY_TIMEOUT_S)
    return [get_commit(git_repo, oid.decode()) for oid in listed.stdout.split()]


def count_commits(git_repo: pygit2.Repository, commit: str, path: str | None = None) -> int:
    """How many commits `list_commits` would list in all; remembered by commit and path."""
    oid = str(access_commit(git_repo, commit).id)
    key = (oid, path or "")
    count = _counts.get(key)
    if count is None:
        where = [] if path is None else ["--", path.strip("/")]
        options = ["--count", oid, *where]
        counted = run_git(git_repo.path, "rev-list", *options, timeout_s=_HISTORY_TIMEOUT_S)
        count = int(counted.stdout)
        _counts.put(key, count)
    return count


def blame(git_repo: pygit2.Repository, commit: str, path: str) -> list[BlameHunk]:
    """For every line of a file, the commit that last changed it, in line order.

    The caller has made sure that `path` is a file at `commit`. GitTimeout if it takes too long.
    """
    oid = str(access_commit(git_repo, commit).id)
    options = ["--incremental", oid, "--", path]
    printed = run_git(git_repo.path, "blame", *options, timeout_s=_HISTORY_TIMEOUT_S).stdout
    hunks = [
        BlameHunk(match[1].decode(), int(match[3]), int(match[4])) for match in _BLAME_GROUP.finditer(printed)
    ]
    return sorted(hunks, key=lambda hunk: hunk.first_line)
