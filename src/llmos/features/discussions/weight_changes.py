"""What a pull request changes in large files: sizes, and tensor by tensor in safetensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pygit2
from sqlalchemy.orm import Session

from llmos.features.discussions.pull_state import PullState
from llmos.features.repos.cards.weights import SafetensorsHeader, WeightHeaderError
from llmos.features.repos.models import Repo
from llmos.features.repos.places import git_path, open_git
from llmos.features.repos.revision_files import RevisionFiles
from llmos.features.repos.weight_facts import read_header
from llmos.infra.git.caches import LruCache
from llmos.infra.git.diff import CommitDiff, FileDiff
from llmos.infra.git.pointers import LfsPointer, parse_pointer
from llmos.infra.runtime import Runtime

MAX_FILES = 50
MAX_LISTED_TENSORS = 500
_MAX_POINTER_BYTES = 1024


@dataclass(frozen=True, slots=True)
class TensorChange:
    """`kind`: added, removed or changed. A side is None where the tensor is not there."""

    name: str
    kind: str
    old_dtype: str | None
    old_shape: tuple[int, ...] | None
    new_dtype: str | None
    new_shape: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class LargeFileChange:
    """A changed large file, or one of weights; oids are those of large objects, and sizes and oids
    are None where there is none on that side.

    `tensors` lists what differs by name, dtype or shape, at most MAX_LISTED_TENSORS of
    `tensor_count`; None where a header could not be read. Values are not compared: the same
    tensors under another oid hold other numbers.
    """

    path: str
    old_path: str
    old_oid: str | None
    new_oid: str | None
    old_size_bytes: int | None
    new_size_bytes: int | None
    tensors: tuple[TensorChange, ...] | None = None
    tensor_count: int = 0
    same_count: int = 0


def list_large_changes(
    db: Session, rt: Runtime, repo: Repo, state: PullState, diff: CommitDiff
) -> dict[str, LargeFileChange]:
    """By new path, the first MAX_FILES changed files that are large on either side."""
    git_repo = open_git(rt, repo)
    found: dict[str, LargeFileChange] = {}
    path = git_path(rt, repo)
    sides = tuple(
        RevisionFiles(rt, path, oid, db) if oid else None for oid in (state.fork_oid, state.head_oid)
    )
    for file in diff.files:
        if len(found) == MAX_FILES:
            break
        old, new = _pointer(git_repo, file.old_oid), _pointer(git_repo, file.new_oid)
        if old is None and new is None and not file.new_path.endswith(".safetensors"):
            continue
        found[file.new_path] = _change(git_repo, file, old, new, sides, repo)
    return found


def _pointer(git_repo: pygit2.Repository, oid: str | None) -> LfsPointer | None:
    if oid is None:
        return None
    try:
        if git_repo.odb.read_header(pygit2.Oid(hex=oid))[1] > _MAX_POINTER_BYTES:
            return None
        return parse_pointer(git_repo.odb.read(pygit2.Oid(hex=oid))[1])
    except KeyError:
        return None


def _size(git_repo: pygit2.Repository, oid: str | None, pointer: LfsPointer | None) -> int | None:
    if pointer is not None or oid is None:
        return pointer.size if pointer is not None else None
    size: int = git_repo.odb.read_header(pygit2.Oid(hex=oid))[1]
    return size


def _change(
    git_repo: pygit2.Repository,
    file: FileDiff,
    old: LfsPointer | None,
    new: LfsPointer | None,
    sides: Sequence[RevisionFiles | None],
    repo: Repo,
) -> LargeFileChange:
    tensors: tuple[TensorChange, ...] | None = None
    count = same = 0
    if file.new_path.endswith(".safetensors"):
        headers = (
            _header(sides[0], file.old_path, file.old_oid, repo),
            _header(sides[1], file.new_path, file.new_oid, repo),
        )
        if all(header is not None for header in headers):
            changed, same = _compare(headers[0] or {}, headers[1] or {})
            count, tensors = len(changed), tuple(changed[:MAX_LISTED_TENSORS])
    return LargeFileChange(
        path=file.new_path,
        old_path=file.old_path,
        old_oid=old.oid if old else None,
        new_oid=new.oid if new else None,
        old_size_bytes=_size(git_repo, file.old_oid, old),
        new_size_bytes=_size(git_repo, file.new_oid, new),
        tensors=tensors,
        tensor_count=count,
        same_count=same,
    )


_Tensors = dict[str, tuple[str, tuple[int, ...]]]


# By repository, since a pointer alone gives nobody a right to what it names.
_known: LruCache[tuple[str, str], _Tensors] = LruCache(32)


def _header(files: RevisionFiles | None, path: str, oid: str | None, repo: Repo) -> _Tensors | None:
    """The tensors of one side; empty where it has no such file, None where it cannot be read."""
    if files is None or oid is None:
        return {}
    key = (repo.object_id, oid)
    tensors = _known.get(key)
    if tensors is None:
        try:
            header = read_header(files, path)
        except WeightHeaderError:
            return None
        if header is None:
            return None
        tensors = _tensors(header)
        _known.put(key, tensors)
    return tensors


def _tensors(header: SafetensorsHeader) -> _Tensors:
    return {info.name: (info.dtype, tuple(info.shape)) for info in header.tensors}


def _compare(old: _Tensors, new: _Tensors) -> tuple[list[TensorChange], int]:
    changed: list[TensorChange] = []
    same = 0
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if before == after:
            same += 1
            continue
        kind = "added" if before is None else "removed" if after is None else "changed"
        old_side, new_side = before or (None, None), after or (None, None)
        changed.append(TensorChange(name, kind, *old_side, *new_side))
    return changed, same
