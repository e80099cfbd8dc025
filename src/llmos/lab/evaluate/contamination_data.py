"""What a contamination check compares: the rows of a benchmark's tasks, and training texts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llmos.lab.data.readers import SUFFIXES, iter_rows
from llmos.lab.data.sources import local_files
from llmos.lab.evaluate.contamination import without
from llmos.lab.evaluate.tasks.ours import list_tasks, pick_task, read_spec
from llmos.lab.evaluate.tasks.rows import SPEC, Dataset, Row, open_folder, open_repo, split_rows


def benchmark_rows(
    benchmark: str, *, revision: str | None = None, task_id: str | None = None
) -> list[tuple[str, Row]]:
    """The rows that the tasks of a folder or repository test with, named as in a record: "test/0".

    Raises TaskError for a benchmark, a task or a split that is not there.
    """
    folder = Path(benchmark).expanduser()
    dataset = open_folder(folder) if folder.is_dir() else open_repo(benchmark, revision)
    tasks = list_tasks(read_spec(dataset.access(SPEC, "which says what its tasks are")))
    chosen = [pick_task(tasks, task_id)] if task_id else tasks
    rows: dict[str, Row] = {}
    for task in chosen:
        rows.update(split_rows(task, task.split, dataset, folder))
    return list(rows.items())


def training_texts(places: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Documents of files, folders, patterns and repositories, each with a name: "file#row".

    All texts of a row are one document. Raises DataError for what cannot be read.
    """
    for place in places:
        for name, path in _files(place):
            for number, row in enumerate(iter_rows(path), 1):
                yield f"{name}#{number}", "\n".join(_texts(row))


def _files(place: str) -> Iterator[tuple[str, Path]]:
    path = Path(place).expanduser()
    if path.exists() or place.startswith("sample:") or not _is_repo(place):
        yield from ((str(found), found) for found in local_files([place], Path()))
        return
    dataset: Dataset = open_repo(place, None)
    for name in dataset.paths:
        if name.lower().removesuffix(".gz").endswith(SUFFIXES) and not name.lower().startswith("readme"):
            yield f"{place}/{name}", dataset.fetch(name)


def _is_repo(place: str) -> bool:
    return place.count("/") == 1 and not any(sign in place for sign in "*?[~") and not place.startswith(".")


def _texts(value: Any) -> Iterator[str]:
    """Every text within a row, however deep (the messages of a chat)."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


def scores_without(bundle: Path, flagged: set[str]) -> list[dict[str, Any]]:
    """Each metric of a record over all its samples, and over those not flagged.

    Raises RecordError for a folder that is no record.
    """
    import pyarrow.parquet as pq

    from llmos.records.bundle import parse_statement, read_bundle
    from llmos.records.errors import RecordError

    read = read_bundle(bundle)
    if read.statement_bytes is None:
        raise RecordError(f"{bundle} holds no statement.", file=str(bundle))
    predicate = parse_statement(read.statement_bytes).predicate
    table = pq.read_table(bundle / "samples.parquet", columns=["id", "scores"])
    ids = table.column("id").to_pylist()
    scores = [json.loads(text) for text in table.column("scores").to_pylist()]
    found = []
    for metric in predicate.metrics:
        value, rest = without(scores, ids, flagged, metric.name, metric.signature)
        found.append({"name": metric.name, "value": value, "without": rest, "n": len(ids)})
    return found
