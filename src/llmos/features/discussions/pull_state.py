"""What git says of a pull request, read when asked and remembered by the two commits."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import pygit2
from pygit2.enums import SortMode

from llmos.core.errors import LlmosError
from llmos.features.discussions.models import MERGED, Thread
from llmos.features.repos.models import Repo
from llmos.features.repos.places import open_git
from llmos.infra.git.caches import LruCache
from llmos.infra.git.commits import CommitInfo, access_commit, commit_info
from llmos.infra.git.diff import CommitDiff, DiffLimits, diff_commits, raw_diff
from llmos.infra.git.merge import list_conflicts, merge_base
from llmos.infra.git.revisions import BRANCH_PREFIX, PULL_PREFIX, read_ref
from llmos.infra.runtime import Runtime

MAX_COMMITS = 250
MAX_DIFF_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PullState:
    """A pull request now, or as it was when it was merged.

    `base_oid` None: its branch is gone; `head_oid` None: its ref is. `fork_oid` is the common
    ancestor its changes are counted from. `conflicts` names files both sides changed.
    """

    base_ref: str
    base_oid: str | None
    head_oid: str | None
    fork_oid: str | None
    conflicts: tuple[str, ...] = ()

    @property
    def base_name(self) -> str:
        return self.base_ref.removeprefix(BRANCH_PREFIX)

    @property
    def is_branch_gone(self) -> bool:
        return self.base_oid is None

    @property
    def has_changes(self) -> bool:
        return self.head_oid is not None and self.head_oid != self.fork_oid

    @property
    def is_mergeable(self) -> bool:
        return self.base_oid is not None and self.head_oid is not None and not self.conflicts


_forks: LruCache[tuple[str, str], str] = LruCache(4096)
_conflicts: LruCache[tuple[str, str], tuple[str, ...]] = LruCache(4096)


def pull_ref(num: int) -> str:
    return f"{PULL_PREFIX}{num}"


def read_pull_state(rt: Runtime, repo: Repo, thread: Thread) -> PullState:
    """The state by git; the work is only done once for any pair of commits."""
    pull = thread.pull
    assert pull is not None
    git_repo = open_git(rt, repo)
    if thread.status == MERGED and pull.merged_base_oid and pull.head_oid:
        fork = find_fork(git_repo, pull.merged_base_oid, pull.head_oid)
        return PullState(pull.base_ref, pull.merged_base_oid, pull.head_oid, fork)
    base, head = read_ref(git_repo, pull.base_ref), read_ref(git_repo, pull_ref(thread.num))
    if base is None or head is None:
        # The branch is gone: what it was when the pull request was opened still shows the changes.
        known = pull.base_oid if base is None else base
        fork = find_fork(git_repo, known, head) if known and head else None
        return PullState(pull.base_ref, base, head, fork)
    fork = find_fork(git_repo, base, head)
    return PullState(pull.base_ref, base, head, fork, find_conflicts(git_repo, base, head, fork))


def find_fork(git_repo: pygit2.Repository, base: str, head: str) -> str | None:
    """The common ancestor of two commits, None for unrelated histories or commits not there."""
    known = _forks.get((base, head))
    if known is None:
        try:
            known = merge_base(git_repo, base, head) or ""
        except LlmosError:
            return None
        _forks.put((base, head), known)
    return known or None


def find_conflicts(git_repo: pygit2.Repository, base: str, head: str, fork: str | None) -> tuple[str, ...]:
    """The files a merge leaves to a person; none for a fast-forward."""
    if fork in (base, head):
        return ()
    known = _conflicts.get((base, head))
    if known is None:
        known = list_conflicts(git_repo, base, head)
        _conflicts.put((base, head), known)
    return known


def list_pull_commits(
    git_repo: pygit2.Repository, fork: str | None, head: str, *other: str | None, limit: int = MAX_COMMITS
) -> list[CommitInfo]:
    """The commits of `head` that `fork` and the `other` commits lack, oldest first; the newest `limit`."""
    walker = git_repo.walk(access_commit(git_repo, head).id, SortMode.TOPOLOGICAL | SortMode.TIME)
    for known in (fork, *other):
        if known is not None:
            walker.hide(access_commit(git_repo, known).id)
    return [commit_info(found) for found in islice(walker, limit)][::-1]


def pull_commits(rt: Runtime, repo: Repo, state: PullState) -> list[CommitInfo]:
    """The commits the pull request offers, oldest first, at most MAX_COMMITS."""
    if not state.has_changes or state.head_oid is None:
        return []
    git_repo = open_git(rt, repo)
    return list_pull_commits(git_repo, state.base_oid or state.fork_oid, state.head_oid)


def pull_diff(
    rt: Runtime, repo: Repo, state: PullState, limits: DiffLimits | None = None
) -> CommitDiff | None:
    """What the pull request changes since the common ancestor; None where it changes nothing."""
    if not state.has_changes or state.head_oid is None:
        return None
    return diff_commits(open_git(rt, repo), state.fork_oid, state.head_oid, limits or DiffLimits())


def pull_patch(rt: Runtime, repo: Repo, state: PullState, *, max_bytes: int = MAX_DIFF_BYTES) -> str:
    """The changes as a unified diff, cut at `max_bytes` with a line that says so."""
    if not state.has_changes or state.head_oid is None:
        return ""
    data, is_cut = raw_diff(open_git(rt, repo), state.fork_oid, state.head_oid, max_bytes=max_bytes)
    text = data.decode("utf-8", "replace")
    return text + f"\n# The diff is longer than {max_bytes} bytes and was cut here.\n" if is_cut else text
