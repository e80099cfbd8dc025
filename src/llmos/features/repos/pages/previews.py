"""What a file looks like inside: text, pictures, tables, weights. Everything is bounded."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

from llmos.features.repos.cards.event_files import EventFileError, is_event_file, read_scalars
from llmos.features.repos.cards.gguf import read_gguf_header
from llmos.features.repos.cards.weights import Reader, WeightHeaderError, read_safetensors_header
from llmos.features.repos.event_runs import RunCurves, points_by_tag
from llmos.features.repos.pages.curve_charts import last_values, tag_charts
from llmos.features.repos.pages.parquet import read_parquet_head
from llmos.ui.highlight import HighlightedCode, highlight_file

MAX_TEXT_BYTES = 1024 * 1024
MAX_HEAD_BYTES = 256 * 1024
MAX_ROWS = 100
MAX_COLUMNS = 40
MAX_CELL_CHARS = 300
MAX_TENSORS = 1000
_IMAGES = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".avif", ".bmp", ".ico", ".svg"}
_AUDIO = {".mp3", ".wav", ".ogg", ".flac", ".m4a", ".opus"}
_VIDEO = {".mp4", ".webm", ".mov"}
MAX_NOTEBOOK_BYTES = 8 * 1024 * 1024
_MARKDOWN = {".md", ".markdown"}

Kind = Literal[
    "text",
    "markdown",
    "notebook",
    "image",
    "audio",
    "video",
    "table",
    "tensors",
    "metadata",
    "curves",
    "binary",
    "empty",
]


@dataclass(frozen=True)
class Table:
    """The first rows of a table; `note` says what is not shown."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    types: Sequence[str] = ()
    row_count: int | None = None
    is_cut: bool = False


@dataclass(frozen=True)
class Preview:
    """`kind` says which of the other fields is filled; `problem` why a file is not shown."""

    kind: Kind
    code: HighlightedCode | None = None
    text: str = ""
    table: Table | None = None
    pairs: Sequence[tuple[str, str]] = ()
    summary: Sequence[tuple[str, int]] = ()
    problem: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


def preview_file(read: Reader | None, path: str, size_bytes: int, *, as_text: bool = False) -> Preview:
    """How to show a file; never more than a bounded part of it is read.

    `read` is None where the bytes are not stored here. `as_text` asks for the source of what is
    otherwise rendered (Markdown, CSV, SVG).
    """
    suffix = PurePosixPath(path).suffix.lower()
    if size_bytes == 0:
        return Preview("empty")
    if read is None:
        return Preview("binary", problem="missing")
    if is_event_file(path):
        return _curves(read, size_bytes)
    if not as_text:
        rendered = _rendered(read, suffix, size_bytes)
        if rendered is not None:
            return rendered
    return _text(read, path, suffix, size_bytes, as_text)


def _rendered(read: Reader, suffix: str, size_bytes: int) -> Preview | None:
    media = _media_kind(suffix)
    if media is not None:
        return Preview(media)
    if suffix in (".safetensors", ".gguf"):
        return _weights(read, suffix, size_bytes)
    if suffix == ".parquet":
        table = read_parquet_head(read, size_bytes, MAX_ROWS, MAX_COLUMNS)
        return Preview("binary", problem="damaged") if table is None else Preview("table", table=_cut(table))
    if suffix in (".csv", ".tsv"):
        return _csv(read(0, min(size_bytes, MAX_HEAD_BYTES)), suffix, size_bytes)
    if suffix == ".jsonl":
        return _jsonl(read(0, min(size_bytes, MAX_HEAD_BYTES)), size_bytes)
    return None


def _media_kind(suffix: str) -> Kind | None:
    if suffix in _IMAGES:
        return "image"
    if suffix in _AUDIO:
        return "audio"
    return "video" if suffix in _VIDEO else None


def _text(read: Reader, path: str, suffix: str, size_bytes: int, as_text: bool) -> Preview:
    if b"\0" in read(0, min(size_bytes, 8000)):
        return Preview("binary")
    if suffix == ".ipynb" and not as_text and size_bytes <= MAX_NOTEBOOK_BYTES:
        return Preview("notebook", text=read(0, size_bytes).decode("utf-8", "replace"))
    if size_bytes > MAX_TEXT_BYTES:
        head = read(0, MAX_HEAD_BYTES).decode("utf-8", "replace").rpartition("\n")[0]
        return Preview("text", code=highlight_file(head, path), problem="cut")
    text = read(0, size_bytes).decode("utf-8", "replace")
    if suffix in _MARKDOWN and not as_text:
        return Preview("markdown", text=text)
    if suffix == ".json" and not as_text:
        text = _pretty(text)
    return Preview("text", code=highlight_file(text, path), text=text)


def _pretty(text: str) -> str:
    """JSON written in one line, laid out; anything else as it is."""
    if text.count("\n") > 1 or len(text) > MAX_HEAD_BYTES:
        return text
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def _csv(head: bytes, suffix: str, size_bytes: int) -> Preview | None:
    if b"\0" in head:
        return None
    text = head.decode("utf-8-sig", "replace")
    is_cut = size_bytes > len(head)
    if is_cut:
        text = text.rpartition("\n")[0]
    delimiter = "\t" if suffix == ".tsv" else _delimiter(text)
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text), delimiter=delimiter):
            rows.append(row)
            if len(rows) > MAX_ROWS + 1:
                is_cut = True
                break
    except csv.Error:
        return None
    rows = [row for row in rows if row]
    if not rows:
        return None
    return Preview("table", table=_cut(Table(rows[0], rows[1 : MAX_ROWS + 1], is_cut=is_cut)))


def _delimiter(text: str) -> str:
    first = text.partition("\n")[0]
    return max(",;\t|", key=first.count) if any(char in first for char in ",;\t|") else ","


def _jsonl(head: bytes, size_bytes: int) -> Preview | None:
    """Lines that are objects as a table; None (and so plain text) for anything else."""
    text = head.decode("utf-8", "replace")
    is_cut = size_bytes > len(head)
    lines = (text.rpartition("\n")[0] if is_cut else text).splitlines()
    records: list[dict[str, Any]] = []
    for line in lines[:MAX_ROWS]:
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not isinstance(record, dict):
            return None
        records.append(record)
    columns = list(dict.fromkeys(key for record in records for key in record))
    if not columns:
        return None
    rows = [[show_cell(record.get(column, "")) for column in columns] for record in records]
    return Preview("table", table=_cut(Table(columns, rows, is_cut=is_cut or len(lines) > MAX_ROWS)))


def show_cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MAX_CELL_CHARS else text[: MAX_CELL_CHARS - 1] + "…"


def _cut(table: Table) -> Table:
    def fit(row: Sequence[str]) -> list[str]:
        return [show_cell(cell) for cell in row[:MAX_COLUMNS]]

    is_cut = table.is_cut or len(table.columns) > MAX_COLUMNS
    rows = [fit(row) for row in table.rows]
    return Table(fit(table.columns), rows, table.types[:MAX_COLUMNS], table.row_count, is_cut)


def _weights(read: Reader, suffix: str, size_bytes: int) -> Preview:
    try:
        if suffix == ".gguf":
            return _gguf(read, size_bytes)
        header = read_safetensors_header(read, size_bytes)
    except WeightHeaderError as error:
        return Preview("binary", problem=error.message)
    rows = [
        [tensor.name, tensor.dtype, " × ".join(map(str, tensor.shape)) or "–", f"{tensor.parameter_count:,}"]
        for tensor in header.tensors[:MAX_TENSORS]
    ]
    return Preview(
        "tensors",
        table=Table((), rows, row_count=len(header.tensors), is_cut=len(header.tensors) > MAX_TENSORS),
        pairs=[(key, show_cell(value)) for key, value in sorted(header.metadata.items())[:50]],
        summary=sorted(header.parameters.items(), key=lambda item: -item[1]),
        extra={"total": header.total},
    )


def _curves(read: Reader, size_bytes: int) -> Preview:
    try:
        scalars = read_scalars(read, size_bytes)
    except EventFileError as error:
        return Preview("binary", problem=error.message)
    curves = [RunCurves(points_by_tag(scalars))]
    tags = list(curves[0].points)
    extra = {
        "charts": [chart for tag in tags for chart in tag_charts([tag], [tag], curves)],
        "rows": last_values(tags, curves),
        "is_cut": scalars.is_cut,
        "damaged": scalars.damaged,
    }
    return Preview("curves", extra=extra)


def _gguf(read: Reader, size_bytes: int) -> Preview:
    header = read_gguf_header(read, size_bytes)
    facts: list[tuple[str, Any]] = [
        ("version", header.version),
        ("architecture", header.architecture),
        ("context length", header.context_length),
        ("quantization", header.quantization),
    ]
    pairs = [(key, show_cell(value)) for key, value in facts if value is not None]
    pairs += [(key, show_cell(value)) for key, value in sorted(header.metadata.items())[:200]]
    return Preview(
        "metadata",
        pairs=pairs,
        summary=sorted(header.parameters.items(), key=lambda item: -item[1]),
        extra={"total": header.total},
    )
