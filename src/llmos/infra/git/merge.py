"""Join histories: merge bases, distances, three-way merges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pygit2

from llmos.infra.git.commits import access_commit
from llmos.infra.git.treedata import MODE_FILE


@dataclass(frozen=True, slots=True)
class MergeOutcome:
    """`tree` is the id of the merged tree, None while `conflicts` names paths to resolve."""

    tree: str | None
    conflicts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ConflictedFile:
    """One path both sides changed: the ids of its blobs (None: the file is not there), and the
    text with conflict markers, None where the content is not text or too large."""

    path: str
    base_oid: str | None
    ours_oid: str | None
    theirs_oid: str | None
    merged: str | None


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


def list_conflicts(git_repo: pygit2.Repository, ours: str, theirs: str) -> tuple[str, ...]:
    """The paths a merge of the two commits would leave to resolve; nothing is written."""
    index = git_repo.merge_commits(access_commit(git_repo, ours).id, access_commit(git_repo, theirs).id)
    return _conflicted_paths(index)


def read_conflicts(
    git_repo: pygit2.Repository, ours: str, theirs: str, *, max_bytes: int = 1024 * 1024
) -> list[ConflictedFile]:
    """Each conflicted file with the blobs of its sides, in order of path; nothing is written.

    A file renamed by both sides shows once under each of its names. `max_bytes` limits the
    blobs that are merged as text.
    """
    index = git_repo.merge_commits(access_commit(git_repo, ours).id, access_commit(git_repo, theirs).id)
    found: dict[str, ConflictedFile] = {}
    for base, our, their in index.conflicts or ():
        for path in {side.path for side in (base, our, their) if side is not None}:
            sides = tuple(
                side if side is not None and side.path == path else None for side in (base, our, their)
            )
            merged = _marked(git_repo, sides, max_bytes)
            oids = [None if side is None else str(side.id) for side in sides]
            found[path] = ConflictedFile(_shown(path), oids[0], oids[1], oids[2], merged)
    return [found[path] for path in sorted(found)]


def _marked(
    git_repo: pygit2.Repository, sides: tuple[pygit2.IndexEntry | None, ...], max_bytes: int
) -> str | None:
    base, ours, theirs = sides
    if ours is None or theirs is None:
        return None
    for side in sides:
        if side is None:
            continue
        if git_repo.odb.read_header(side.id)[1] > max_bytes:
            return None
        data = git_repo.odb.read(side.id)[1]
        if b"\0" in data or not _is_utf8(data):
            return None
    result = git_repo.merge_file_from_index(base, ours, theirs)
    return result if isinstance(result, str) else result.contents


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def merge_resolved(
    git_repo: pygit2.Repository, ours: str, theirs: str, resolved: Mapping[str, tuple[str, int] | None]
) -> MergeOutcome:
    """Merge two commits, taking for each conflicted path the given blob id and mode (None: no file).

    `resolved` may speak of conflicted paths only (ValueError otherwise); a conflicted path it
    leaves out stays in `conflicts`.
    """
    index = git_repo.merge_commits(access_commit(git_repo, ours).id, access_commit(git_repo, theirs).id)
    conflicted = set(_conflicted_paths(index))
    if stray := set(resolved) - conflicted:
        raise ValueError(f"{min(stray)!r} is not in conflict")
    if conflicted - set(resolved):
        return MergeOutcome(None, tuple(sorted(conflicted - set(resolved))))
    for path, blob in resolved.items():
        if index.conflicts is not None and path in index.conflicts:
            del index.conflicts[path]
        if blob is not None:
            index.add(
                pygit2.IndexEntry(path, pygit2.Oid(hex=blob[0]), pygit2.enums.FileMode(blob[1] or MODE_FILE))
            )
    return _outcome(git_repo, index)


def merge_trees(git_repo: pygit2.Repository, base: str, ours: str, theirs: str) -> MergeOutcome:
    """Apply to tree `ours` what changed from tree `base` to tree `theirs` (ids of trees).

    With `base` the tree of a commit's parent and `theirs` its own, this is a cherry-pick.
    """
    index = git_repo.merge_trees(pygit2.Oid(hex=base), pygit2.Oid(hex=ours), pygit2.Oid(hex=theirs))
    return _outcome(git_repo, index)


def _outcome(git_repo: pygit2.Repository, index: pygit2.Index) -> MergeOutcome:
    conflicts = _conflicted_paths(index)
    if conflicts:
        return MergeOutcome(None, conflicts)
    return MergeOutcome(str(index.write_tree(git_repo)))


def _conflicted_paths(index: pygit2.Index) -> tuple[str, ...]:
    paths = {_shown(side.path) for sides in index.conflicts or () for side in sides if side is not None}
    return tuple(sorted(paths))


def _shown(path: str) -> str:
    """Bytes that are not UTF-8 as U+FFFD: the escapes pygit2 puts in cannot leave as JSON."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
