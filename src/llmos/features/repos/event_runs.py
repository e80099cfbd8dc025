"""The training runs of a repository: folders with TensorBoard event files, and their curves."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pygit2

from llmos.features.repos.cards.event_files import (
    MAX_READ_BYTES,
    EventFileError,
    EventScalars,
    is_event_file,
    read_scalars,
)
from llmos.features.repos.files import LargeFileRef
from llmos.infra.git.caches import LruCache
from llmos.infra.git.trees import TreeEntry, find_files, read_blob
from llmos.infra.runtime import Runtime

MAX_TREE_ENTRIES = 100_000
MAX_FILES_OF_A_RUN = 8
MAX_PLAIN_BYTES = 32 * 1024 * 1024
# What one page reads altogether, where it is not known yet.
MAX_PAGE_BYTES = 12 * 1024 * 1024
_STARTED = re.compile(r"\.tfevents\.(\d{9,11})\.")
# By the id of the content, which never changes. Each is at most a megabyte.
_known: LruCache[str, EventScalars] = LruCache(16)


@dataclass(frozen=True, slots=True)
class EventRun:
    """A folder with event files, oldest first. `started` is the Unix time in the newest one's name."""

    folder: str
    files: tuple[TreeEntry, ...]

    @property
    def started(self) -> int:
        return max(_started(entry) for entry in self.files)

    @property
    def oids(self) -> list[str]:
        """The large objects of the run."""
        return [entry.lfs.oid for entry in self.files if entry.lfs is not None]


@dataclass(frozen=True, slots=True)
class RunCurves:
    """Points by tag. `problems`: files that could not be read; `is_cut`: only their beginnings were."""

    points: Mapping[str, Sequence[tuple[int, float | None]]]
    is_cut: bool = False
    damaged: int = 0
    problems: int = 0


def _started(entry: TreeEntry) -> int:
    match = _STARTED.search(entry.path)
    return int(match[1]) if match else 0


def list_event_runs(git_repo: pygit2.Repository, commit: str) -> list[EventRun]:
    """Folders with event files, the newest run first."""
    folders: dict[str, list[TreeEntry]] = {}
    for entry in find_files(git_repo, commit, is_event_file, max_entries=MAX_TREE_ENTRIES):
        folders.setdefault(entry.path.rpartition("/")[0], []).append(entry)
    runs = [
        EventRun(
            folder, tuple(sorted(files, key=lambda one: (_started(one), one.path))[-MAX_FILES_OF_A_RUN:])
        )
        for folder, files in folders.items()
    ]
    return sorted(runs, key=lambda run: (-run.started, run.folder))


def read_runs(
    rt: Runtime,
    git_repo: pygit2.Repository,
    runs: Sequence[EventRun],
    large: Mapping[str, LargeFileRef],
    max_bytes: int = MAX_PAGE_BYTES,
) -> list[RunCurves]:
    """The curves of runs; `large` holds those large objects the reader may have."""
    budget = _Budget(max_bytes)
    return [_read_run(rt, git_repo, run, large, budget) for run in runs]


@dataclass
class _Budget:
    left: int


def _read_run(
    rt: Runtime,
    git_repo: pygit2.Repository,
    run: EventRun,
    large: Mapping[str, LargeFileRef],
    budget: _Budget,
) -> RunCurves:
    found: dict[str, dict[int, float | None]] = {}
    is_cut, damaged, problems = False, 0, 0
    for entry in run.files:
        try:
            scalars = _read_file(rt, git_repo, entry, large, budget)
        except EventFileError:
            scalars = None
        if scalars is None:
            problems += 1
            continue
        is_cut, damaged = is_cut or scalars.is_cut, damaged + scalars.damaged
        # A run that was taken up again goes on in a file of its own, which counts.
        for tag, points in points_by_tag(scalars).items():
            found.setdefault(tag, {}).update(points)
    return RunCurves(
        {tag: sorted(points.items()) for tag, points in found.items()}, is_cut, damaged, problems
    )


def points_by_tag(scalars: EventScalars) -> dict[str, list[tuple[int, float | None]]]:
    """Points of each curve in order of step."""
    return {curve.tag: list(zip(curve.steps, curve.values, strict=True)) for curve in scalars.curves}


def _read_file(
    rt: Runtime,
    git_repo: pygit2.Repository,
    entry: TreeEntry,
    large: Mapping[str, LargeFileRef],
    budget: _Budget,
) -> EventScalars | None:
    """None where the bytes are not here. Raises EventFileError."""
    ref = large.get(entry.lfs.oid) if entry.lfs is not None else None
    if (entry.lfs is not None and ref is None) or (entry.lfs is None and entry.size > MAX_PLAIN_BYTES):
        return None
    key = ref.oid if ref is not None else entry.oid
    known = _known.get(key)
    if known is not None:
        return known
    limit = min(MAX_READ_BYTES, budget.left)
    if limit <= 0:
        return EventScalars((), is_cut=True)
    scalars = _parse(rt, git_repo, entry, ref, limit)
    budget.left -= min(entry.content_size, limit)
    if limit == MAX_READ_BYTES or not scalars.is_cut:
        _known.put(key, scalars)
    return scalars


def _parse(
    rt: Runtime, git_repo: pygit2.Repository, entry: TreeEntry, ref: LargeFileRef | None, limit: int
) -> EventScalars:
    if ref is None:
        data = read_blob(git_repo, entry.oid)
        return read_scalars(lambda at, size: data[at : at + size], len(data), max_read_bytes=limit)

    def read(at: int, size: int) -> bytes:
        return b"".join(ref.stream(rt, at, min(at + size, ref.size_bytes)))

    return read_scalars(read, ref.size_bytes, max_read_bytes=limit)
