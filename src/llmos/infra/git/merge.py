"""Join histories: merge bases, distances, three-way merges."""

from __future__ import annotations

from dataclasses import dataclass

import pygit2

from llmos.infra.git.commits import access_commit


@dataclass(frozen=True, slots=True)
class MergeOutcome:
    """`tree` is the id of the merged tree, None while `conflicts` names paths to resolve."""

    tree: str | None
    conflicts: tuple[str, ...] = ()


def merge_base(git_repo: pygit2.Repository, left: str, right: str) -> str | None:
    """The best common ancestor of two commits, or None for unrelated histories."""
    found = git_repo.merge_base(access_commit(git_repo, left).id, access_commit(git_repo, right).id)
    return None if found is None else str(found)


def ahead_behind(git_repo: pygit2.Repository, left: str, right: str) -> tuple[int, int]:
    """How many commits `left` has that `right` lacks, and the reverse."""
    return git_repo.ahead_behind(access_commit(git_repo, left).id, access_commit(git_repo, right).id)


def is_ancestor(git_repo: pygit2.Repository, ancestor: str, commit: str) -> bool:
    """True if `commit` is `ancestor` or descends from it: the move is a fast-forward."""
    return ancestor == commit or merge_base(git_repo, ancestor, commit) == ancestor


def merge_commits(git_repo: pygit2.Repository, ours: str, theirs: str) -> MergeOutcome:
    """Merge two commits on their common ancestors; neither is changed, no commit is made.

    The merged tree is written durably. Unrelated histories merge as if they began empty.
    """
    index = git_repo.merge_commits(access_commit(git_repo, ours).id, access_commit(git_repo, theirs).id)
    return _outcome(git_repo, index)


def merge_trees(git_repo: pygit2.Repository, base: str, ours: str, theirs: str) -> MergeOutcome:
    """Apply to tree `ours` what changed from tree `base` to tree `theirs` (ids of trees).

    With `base` the tree of a commit's parent and `theirs` its own, this is a cherry-pick.
    """
    index = git_repo.merge_trees(pygit2.Oid(hex=base), pygit2.Oid(hex=ours), pygit2.Oid(hex=theirs))
    return _outcome(git_repo, index)


def _outcome(git_repo: pygit2.Repository, index: pygit2.Index) -> MergeOutcome:
    if index.conflicts is not None:
        paths: set[str] = set()
        for sides in index.conflicts:
            paths.update(_shown(side.path) for side in sides if side is not None)
        return MergeOutcome(None, tuple(sorted(paths)))
    return MergeOutcome(str(index.write_tree(git_repo)))


def _shown(path: str) -> str:
    """Bytes that are not UTF-8 as U+FFFD: the escapes pygit2 puts in cannot leave as JSON."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
