"""The first rows of a Parquet file, without reading the rest of it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from llmos.features.repos.cards.weights import Reader

if TYPE_CHECKING:
    from llmos.features.repos.pages.previews import Table

MAX_GROUP_BYTES = 64 * 1024 * 1024
MAX_FOOTER_BYTES = 16 * 1024 * 1024


class RangeFile(io.RawIOBase):
    """A seekable file over a range reader."""

    def __init__(self, read: Reader, size_bytes: int) -> None:
        super().__init__()
        self._read = read
        self._size_bytes = size_bytes
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        room = max(0, self._size_bytes - self._position)
        count = room if size < 0 else min(size, room)
        data = self._read(self._position, count) if count else b""
        self._position += len(data)
        return data


def read_parquet_head(read: Reader, size_bytes: int, max_rows: int, max_columns: int) -> Table | None:
    """The first rows of the first row group; None for a damaged file or too large a group."""
    from llmos.features.repos.pages.previews import Table, show_cell

    footer = int.from_bytes(read(max(size_bytes - 8, 0), 4), "little")
    if size_bytes < 12 or footer > min(MAX_FOOTER_BYTES, size_bytes):
        return None
    # Arrow takes a moment to import; pages that show no table do without it.
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(RangeFile(read, size_bytes))
        schema = file.schema_arrow
        columns = list(schema.names)[:max_columns]
        rows: list[list[str]] = []
        if file.num_row_groups and file.metadata.row_group(0).total_byte_size <= MAX_GROUP_BYTES:
            batch: Any = next(file.iter_batches(max_rows, row_groups=[0], columns=columns), None)
            records = batch.to_pylist() if batch is not None else []
            rows = [[show_cell(record[name]) for name in columns] for record in records]
        types = [str(schema.field(name).type)[:40] for name in columns]
        total = int(file.metadata.num_rows)
    except (pyarrow.ArrowException, OSError, ValueError, KeyError):
        return None
    return Table(columns, rows, types, total, total > len(rows) or len(schema.names) > len(columns))
