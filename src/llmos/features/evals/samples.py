"""The answers of a record, sample by sample, read from the model's repository."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmos.core.errors import LlmosError, NotFound, TooLarge
from llmos.features.evals.evidence import SAMPLES
from llmos.features.repos.models import Repo
from llmos.features.repos.places import git_path
from llmos.features.repos.revision_files import RevisionFiles
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.records.rows import parquet_rows

MAX_BYTES = 256 * 1024 * 1024
_PIECE_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """One sample of a record; `score` is that of the metric asked for, None where it has none.

    `parts` are the numbers that the metric adds up, where it is no mean.
    """

    id: str
    row_sha256: str
    prompt: str
    choices: Sequence[str]
    target: str
    output: str
    chosen: int
    score: float | None
    parts: Mapping[str, float]


def read_answers(rt: Runtime, repo: Repo, commit: str, folder: str, metric: str) -> Iterator[Answer]:
    """The samples of the bundle in `folder`, in order. The file is read by a process of its own.

    Raises NotFound when its content is not here any more, TooLarge, and RecordError for a broken file.
    """
    with tempfile.NamedTemporaryFile(dir=rt.settings.tmp_root, suffix=".parquet") as copy:
        _copy(rt, repo, commit, f"{folder}/{SAMPLES}", copy)
        for row in parquet_rows(Path(copy.name), is_samples=True):
            yield _answer(row, metric)


def _copy(rt: Runtime, repo: Repo, commit: str, path: str, out: Any) -> None:
    try:
        files = RevisionFiles(rt, git_path(rt, repo), commit)
        entry, reader = files.entries.get(path), files.reader(path)
    except LlmosError:
        entry = reader = None
    if entry is None or reader is None:
        raise NotFound(lazy("The answers of this record are no longer in the repository."))
    size = entry.content_size
    if size > MAX_BYTES:
        raise TooLarge(lazy("The answers of this record are too many to show here: download the bundle."))
    for offset in range(0, size, _PIECE_BYTES):
        out.write(reader(offset, min(_PIECE_BYTES, size - offset)))
    out.flush()


def _answer(row: Mapping[str, Any], metric: str) -> Answer:
    found = _json(row["scores"])
    scores = found if isinstance(found, dict) else {}
    score = scores.get(metric)
    own = {key: value for key, value in scores.items() if key.startswith(f"{metric}.")}
    return Answer(
        id=str(row["id"]),
        row_sha256=str(row["row_sha256"]),
        prompt=str(row["prompt"]),
        choices=[str(choice) for choice in row["choices"]],
        target=str(row["target"]),
        output=str(row["output"]),
        chosen=int(row["chosen"]),
        score=float(score) if isinstance(score, int | float) else None,
        parts={key: float(value) for key, value in own.items() if isinstance(value, int | float)},
    )


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def said_target(answer: Answer) -> str:
    """What would have been right, in words."""
    value = _json(answer.target)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(answer.choices):
        return answer.choices[value]
    if isinstance(value, list):
        return " · ".join(str(item) for item in value)
    return str(value) if value is not None else ""


def said_answer(answer: Answer) -> str:
    """What the model said: its output, or the choice it made."""
    if 0 <= answer.chosen < len(answer.choices):
        return answer.choices[answer.chosen]
    return answer.output
