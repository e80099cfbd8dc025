"""Rows of data files, read with care: Parquet, JSON Lines, JSON, CSV, TSV and plain text.

A row is a dict of JSON values. What a text file's row is depends on the task that reads it; the whole
text, its paragraphs and its lines are all known here.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import llmos
from llmos.records.digests import open_regular, row_digest
from llmos.records.errors import RecordError

TEXT_SUFFIXES = (".txt", ".text", ".md", ".rst")
TABLE_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
MAX_ROW_BYTES = 64 * 1024 * 1024
MAX_WHOLE_BYTES = 1024 * 1024 * 1024
MAX_DATA_FILES = 10_000
Row = dict[str, Any]


def row_digests(path: Path) -> set[str]:
    """The digests of all rows that tasks may find in a file. Raises RecordError when it cannot be read."""
    return {row_digest(row) for row in read_rows(path)}


def list_data_files(place: Path) -> list[Path]:
    """The data files in a folder, sorted, hidden ones left out; or the one file that `place` is."""
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise RecordError(f"{place} is neither a folder nor a file with data.", file=place.name)
    found = (path for path in sorted(place.rglob("*")) if file_format(path) and path.is_file())
    shown = (p for p in found if not any(part.startswith(".") for part in p.relative_to(place).parts))
    files = list(itertools.islice(shown, MAX_DATA_FILES + 1))
    if not files or len(files) > MAX_DATA_FILES:
        count = f"more than {MAX_DATA_FILES}" if files else "no"
        raise RecordError(f"{place} holds {count} data files (*.jsonl, *.parquet, …).", file=place.name)
    return files


def file_format(path: Path) -> str:
    """The format by the name's ending, `.gz` set aside; empty when it is none of data."""
    name = path.name.lower().removesuffix(".gz")
    return next((suffix for suffix in TABLE_SUFFIXES + TEXT_SUFFIXES if name.endswith(suffix)), "")


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of one file. Raises RecordError when it cannot be read, or is not in its format."""
    kind = file_format(path)
    if kind == ".parquet":
        yield from parquet_rows(path)
        return
    try:
        with open_regular(path) as raw:
            file = cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if path.name.endswith(".gz") else raw
            if kind in (".jsonl", ".ndjson"):
                yield from _json_lines(file, path.name)
            elif kind == ".json":
                yield from _json(_whole(file, path.name), path.name)
            elif kind in (".csv", ".tsv"):
                yield from _csv(_lines(file, path.name), "\t" if kind == ".tsv" else ",")
            else:
                yield from _text(_whole(file, path.name))
    except (UnicodeDecodeError, csv.Error, OSError, EOFError, zlib.error) as error:
        raise RecordError(
            f"{path.name} cannot be read as {kind or 'text'}: {error}.", file=path.name
        ) from error


def parquet_rows(path: Path, *, is_samples: bool = False, follow_links: bool = True) -> Iterator[Row]:
    """The rows of a Parquet file, by way of a process of limited memory and time.

    Raises RecordError when it cannot be read: `is_samples` asks for the columns of samples.parquet.
    """
    with open_regular(path, follow_links=follow_links) as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "llmos.records.parquet_child", *["samples"] * is_samples],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child_environment(),
        )
    output = cast("IO[bytes]", process.stdout)
    try:
        yield from _child_rows(output, path.name)
    finally:
        process.kill()
        output.close()
        process.wait()


def _child_rows(output: IO[bytes], name: str) -> Iterator[Row]:
    while True:
        line = output.readline(MAX_ROW_BYTES)
        if line == b".\n":
            return
        if line[:1] == b"!":
            reason = line[1:].decode("utf-8", "replace").strip()
            raise RecordError(f"{name} cannot be read: {reason.rstrip('.')}.", file=name)
        if not line.endswith(b"\n"):
            reason = "one row is too large" if line else "it asks for too much, or is broken"
            raise RecordError(f"{name} cannot be read: {reason}.", file=name)
        row: Row = json.loads(line)
        yield row


def child_environment() -> dict[str, str]:
    """Nothing but where our code is: no secret of this process reaches the reader."""
    source = str(Path(llmos.__path__[0]).parent)
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "SYSTEMROOT") if name in os.environ}
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))
    # The system's allocator asks for no address space ahead, which the limit would count.
    return {**keep, "PYTHONPATH": path, "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}


def _lines(file: IO[bytes], name: str) -> Iterator[bytes]:
    while line := file.readline(MAX_ROW_BYTES):
        if len(line) == MAX_ROW_BYTES:
            raise RecordError(f"{name} has a line of more than {MAX_ROW_BYTES:,} bytes.", file=name)
        yield line


def _whole(file: IO[bytes], name: str) -> bytes:
    raw = file.read(MAX_WHOLE_BYTES + 1)
    if len(raw) > MAX_WHOLE_BYTES:
        raise RecordError(f"{name} has more than {MAX_WHOLE_BYTES:,} bytes: use JSON Lines.", file=name)
    return raw


def _json_lines(file: IO[bytes], name: str) -> Iterator[Row]:
    for number, line in enumerate(_lines(file, name), 1):
        if line.strip():
            yield _as_row(_loads(line, f"{name}, line {number},"), name)


def _json(raw: bytes, name: str) -> Iterator[Row]:
    value = _loads(raw, name)
    if isinstance(value, dict):
        lists = [part for part in value.values() if isinstance(part, list)]
        value = lists[0] if len(lists) == 1 else [value]
    yield from (_as_row(row, name) for row in (value if isinstance(value, list) else [value]))


def _loads(raw: bytes, name: str) -> Any:
    """As generous as Python's reader: what a data set holds is not for us to refuse."""
    try:
        return json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{name} is not JSON: {error}.", file=name) from error


def _as_row(value: Any, name: str) -> Row:
    if isinstance(value, dict):
        return value
    if isinstance(value, str):
        return {"text": value}
    raise RecordError(f"{name} holds something that is no row: {type(value).__name__}.", file=name)


def _csv(lines: Iterator[bytes], delimiter: str) -> Iterator[Row]:
    # The limit is of the whole process; Python's own of 128 kB is less than what the lab reads.
    csv.field_size_limit(max(MAX_ROW_BYTES, csv.field_size_limit()))
    text = (line.decode("utf-8-sig" if number == 0 else "utf-8") for number, line in enumerate(lines))
    for row in csv.DictReader(text, delimiter=delimiter):
        yield {str(key): value for key, value in row.items()}


def _text(raw: bytes) -> Iterator[Row]:
    text = raw.decode("utf-8-sig")
    yield {"text": text.replace("\r\n", "\n")}
    lines = [line.rstrip("\r\n") for line in text.splitlines(keepends=True)]
    for is_blank, run in itertools.groupby(lines, key=lambda line: not line.strip()):
        if not is_blank:
            held = list(run)
            yield {"text": "\n".join(held)}
            yield from ({"text": line} for line in held)
