"""Rows of one file, whatever its format: text, JSON, JSON Lines, CSV, Parquet, WARC or WET.

A row is a dict. Text formats give rows with the one column `text`. Files are read as a stream; a
whole file is held in memory only where its format (`.json`) or the unit `document` asks for it.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Literal, cast

from llmos.lab.data.errors import DataError, no_column
from llmos.lab.data.warc import iter_records

Row = dict[str, Any]
Unit = Literal["document", "paragraph", "line"]

_SNIFF_BYTES = 8192
_CSV_FIELD_LIMIT = 16 * 1024 * 1024
TEXT_SUFFIXES = (".txt", ".text", ".md", ".rst")
TABLE_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
ARCHIVE_SUFFIXES = (".warc", ".wet")
SUFFIXES = TEXT_SUFFIXES + TABLE_SUFFIXES + ARCHIVE_SUFFIXES


def file_format(path: Path) -> str:
    """The format by the name's ending, `.gz` set aside; a file of unknown ending is text."""
    name = path.name.lower().removesuffix(".gz")
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), ".txt")


def iter_rows(
    path: Path, *, unit: Unit = "document", encoding: str = "utf-8", columns: Sequence[str] = ()
) -> Iterator[Row]:
    """Rows of `path`; with `columns` given, each row has all of these.

    Raises DataError for a file that is missing, empty, binary, not in `encoding`, not in its
    format (with the line), or without one of the columns (naming those there are).
    """
    check_readable(path)
    kind = file_format(path)
    reader: Callable[..., Iterator[Row]] = _READERS.get(kind, _text_rows)
    try:
        yield from _with_columns(reader(path, unit=unit, encoding=encoding, columns=columns), columns, path)
    except UnicodeDecodeError as error:
        raise _not_decodable(path, error, encoding) from error
    except (EOFError, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the gzip stream is broken or cut short ({error}).") from error


def check_readable(path: Path) -> None:
    """Raise DataError unless `path` is a file with content that is not binary."""
    if not path.is_file():
        raise DataError(f"{path}: no such file. Paths are relative to where the command is run.")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes). Remove it from data, or fill it.")
    if file_format(path) in (".parquet", *ARCHIVE_SUFFIXES):
        return
    try:
        with open_bytes(path) as file:
            sample = file.read(_SNIFF_BYTES)
    except (EOFError, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: ends in .gz, but is no gzip file ({error}).") from error
    if b"\x00" in sample and not sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(
            f"{path} is a binary file (a zero byte within its first {_SNIFF_BYTES} bytes). "
            f"Readable are: {', '.join(SUFFIXES)}, each also with .gz."
        )


def open_bytes(path: Path) -> IO[bytes]:
    """The bytes of `path`, unzipped if its name ends in `.gz`."""
    if path.name.lower().endswith(".gz"):
        return cast("IO[bytes]", gzip.open(path, "rb"))
    return path.open("rb")


def _open_text(path: Path, encoding: str) -> IO[str]:
    # A byte-order mark is no part of the text.
    encoding = "utf-8-sig" if encoding.lower() in {"utf-8", "utf8"} else encoding
    try:
        if path.name.lower().endswith(".gz"):
            return gzip.open(path, "rt", encoding=encoding, newline="")
        return path.open(encoding=encoding, newline="")
    except LookupError as error:
        raise DataError(f'data.encoding: Python knows no encoding "{encoding}".') from error


def _with_columns(rows: Iterator[Row], columns: Sequence[str], path: Path) -> Iterator[Row]:
    for number, row in enumerate(rows, 1):
        for column in columns:
            if column not in row:
                raise no_column(column, row, str(path) if number == 1 else f"{path}, row {number},")
        yield row


def _text_rows(path: Path, *, unit: Unit, encoding: str, columns: Sequence[str]) -> Iterator[Row]:
    with _open_text(path, encoding) as file:
        if unit == "document":
            yield {"text": file.read().replace("\r\n", "\n")}
        elif unit == "line":
            yield from ({"text": line.rstrip("\r\n")} for line in file if line.strip())
        else:
            yield from ({"text": paragraph} for paragraph in _paragraphs(file))


def _paragraphs(lines: IO[str]) -> Iterator[str]:
    """Runs of lines between blank lines."""
    held: list[str] = []
    for line in lines:
        if line.strip():
            held.append(line.rstrip("\r\n"))
        elif held:
            yield "\n".join(held)
            held = []
    if held:
        yield "\n".join(held)


def _json_lines(path: Path, *, unit: Unit, encoding: str, columns: Sequence[str]) -> Iterator[Row]:
    with _open_text(path, encoding) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(f"{path}, line {number}: not JSON ({error}).") from error
            yield _as_row(row, f"{path}, line {number}")


def _json(path: Path, *, unit: Unit, encoding: str, columns: Sequence[str]) -> Iterator[Row]:
    """A list of objects, one object with such a list as its only list, or JSON Lines after all."""
    with _open_text(path, encoding) as file:
        content = file.read()
    try:
        value = json.loads(content)
    except ValueError as error:
        if "Extra data" in str(error):
            yield from _json_lines(path, unit=unit, encoding=encoding, columns=columns)
            return
        raise DataError(f"{path}: not JSON ({error}).") from error
    if isinstance(value, dict):
        lists = [part for part in value.values() if isinstance(part, list)]
        value = lists[0] if len(lists) == 1 else [value]
    if not isinstance(value, list):
        raise DataError(f"{path}: expected a list of objects, found {type(value).__name__}.")
    for number, row in enumerate(value, 1):
        yield _as_row(row, f"{path}, item {number}")


def _as_row(value: Any, where: str) -> Row:
    if isinstance(value, str):
        return {"text": value}
    if not isinstance(value, dict):
        raise DataError(f'{where}: expected an object such as {{"text": …}}, found {type(value).__name__}.')
    return value


def _csv(path: Path, *, unit: Unit, encoding: str, columns: Sequence[str]) -> Iterator[Row]:
    delimiter = "\t" if file_format(path) == ".tsv" else ","
    csv.field_size_limit(_CSV_FIELD_LIMIT)
    with _open_text(path, encoding) as file:
        reader = csv.DictReader(file, delimiter=delimiter)
        try:
            for row in reader:
                if None in row or None in row.values():
                    raise DataError(
                        f"{path}, line {reader.line_num}: has another number of fields than the header "
                        f"({len(reader.fieldnames or [])}). Quote fields that contain “{delimiter}”."
                    )
                yield dict(row)
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.line_num}: {error}.") from error


def _parquet(path: Path, *, unit: Unit, encoding: str, columns: Sequence[str]) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            for column in columns:
                if column not in names:
                    raise no_column(column, names, str(path))
            for batch in file.iter_batches(batch_size=512, columns=list(columns) or None):
                yield from batch.to_pylist()
    except (pa.ArrowInvalid, pa.ArrowIOError) as error:
        raise DataError(f"{path}: not a Parquet file ({error}).") from error


def _archive(path: Path, *, unit: Unit, encoding: str, columns: Sequence[str]) -> Iterator[Row]:
    with open_bytes(path) as file:
        for record in iter_records(file, str(path)):
            if text := record.text():
                yield {"text": text, "url": record.url}


def _not_decodable(path: Path, error: UnicodeDecodeError, encoding: str) -> DataError:
    hint = "Say its encoding in data.encoding, or convert it with iconv."
    sample = path.read_bytes()[:_SNIFF_BYTES] if not path.name.endswith(".gz") else b""
    for other in ("gb18030", "utf-16"):
        try:
            sample[: len(sample) // 2 * 2].decode(other)
        except UnicodeDecodeError as wrong:
            if wrong.start < len(sample) - 4:
                continue
        if sample and (other != "utf-16" or sample[:2] in (b"\xff\xfe", b"\xfe\xff")):
            hint = f"It may be {other}: set data.encoding to {other}."
            break
    return DataError(f"{path}: not {encoding} ({error.reason} at byte {error.start}). {hint}")


_READERS: dict[str, Callable[..., Iterator[Row]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _csv,
    ".parquet": _parquet,
    ".warc": _archive,
    ".wet": _archive,
}
