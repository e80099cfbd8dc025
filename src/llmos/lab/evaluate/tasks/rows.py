"""Where the rows of a task are, and the rows themselves, each with a name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmos.lab.data.errors import DataError
from llmos.lab.data.sources import front_matter, local_files, split_files
from llmos.lab.evaluate.tasks.schema import Task, TaskError
from llmos.lab.inputs import laid_input
from llmos.lab.recipes.schema import Source
from llmos.records.errors import RecordError
from llmos.records.rows import TEXT_SUFFIXES, file_format, read_rows

Row = dict[str, Any]
SPEC = "eval.yaml"


@dataclass(frozen=True)
class Dataset:
    """A data set: a folder here, one that a runner laid, or a repository whose files come when read."""

    name: str
    paths: Sequence[str]
    fetch: Callable[[str], Path]
    repo: str | None = None
    revision: str | None = None
    folder: Path | None = None

    def access(self, path: str, what: str) -> Path:
        """A file of it; raises TaskError where it has none of this name."""
        if path not in self.paths:
            raise TaskError(f"{self.name} has no {path}, {what}. It holds: {', '.join(self.paths[:12])}.")
        return self.fetch(path)

    def card(self) -> dict[str, Any]:
        return front_matter(self.fetch("README.md")) if "README.md" in self.paths else {}


def open_folder(
    folder: Path, *, name: str = "", repo: str | None = None, revision: str | None = None
) -> Dataset:
    """Raises TaskError where there is no such folder."""
    if not folder.is_dir():
        raise TaskError(f"There is no folder {folder}. Name the folder of the data set, or a repository.")
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    paths = [path.relative_to(folder).as_posix() for path in found]
    shown = [path for path in paths if not any(part.startswith(".") for part in path.split("/"))]
    return Dataset(name or folder.name, shown, lambda path: folder / path, repo, revision, folder)


def open_repo(name: str, revision: str | None) -> Dataset:
    """A data set of a hub, pinned to the commit that `revision` is now. Raises what the hub answers."""
    if laid := laid_input("dataset", name):
        return open_folder(laid.path, name=name, repo=name, revision=laid.revision or revision)
    from llmos.client.hub import Hub

    hub = Hub(retry_for_s=60)
    repo = hub.access_repo(name, "dataset", revision)
    paths = [file.path for file in repo.files]
    return Dataset(name, paths, lambda path: hub.download(repo, path), repo.name, repo.commit)


def split_rows(task: Task, split: str, dataset: Dataset | None, root: Path) -> list[tuple[str, Row]]:
    """The rows of a split with their names, "split/number from 0".

    The row of a text file is the whole text. Raises TaskError for a split that is not there or empty.
    """
    rows = [row for path in _files(task, split, dataset, root) for row in _rows(path)]
    if not rows:
        raise TaskError(f'split: "{split}" of {dataset.name if dataset else task.id} has no rows.')
    return [(f"{split}/{number}", row) for number, row in enumerate(rows)]


def _files(task: Task, split: str, dataset: Dataset | None, root: Path) -> list[Path]:
    if task.files is not None:
        if split not in task.files:
            there = ", ".join(task.files)
            raise TaskError(f'split: the task names files for {there}, and none for "{split}".')
        if dataset is None:
            try:
                return local_files(task.files[split], root)
            except DataError as error:
                raise TaskError(error.message, data=error.data) from error
        return [dataset.access(path, f'which the task names for "{split}"') for path in task.files[split]]
    if dataset is None:
        raise TaskError("The task names no files and no data set. Give it `files`, or --benchmark.")
    config = None if task.config in (None, "default") else task.config
    source = Source(dataset=dataset.name, split=split, config=config)
    try:
        found = split_files(dataset.card(), [path for path in dataset.paths if path != SPEC], source)
    except DataError as error:
        raise TaskError(f"split: {error.message}", data=error.data) from error
    return [dataset.fetch(path) for path in found]


def _rows(path: Path) -> list[Row]:
    try:
        if file_format(path) in TEXT_SUFFIXES:
            return [next(read_rows(path))]
        return list(read_rows(path))
    except RecordError as error:
        raise TaskError(error.message, data=error.data) from error
