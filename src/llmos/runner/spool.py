"""The events of one attempt on disk, numbered from 0, so that a hub that is away loses nothing."""

from __future__ import annotations

import threading
from pathlib import Path

# As much as the hub keeps of one job.
MAX_SPOOL_BYTES = 64 * 1024 * 1024


class Spool:
    """Lines of JSON in a file; a line's place is its number. Safe between one writer and one reader."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file = path.open("a+b")
        self._file.seek(0)
        self.count = sum(1 for _ in self._file)
        self.size_bytes = self._file.tell()
        self._read_seq, self._read_at = 0, 0

    @property
    def is_full(self) -> bool:
        return self.size_bytes >= MAX_SPOOL_BYTES

    def add(self, lines: list[bytes]) -> None:
        """Append events, each one line of JSON without its end."""
        data = b"".join(line + b"\n" for line in lines)
        with self._lock:
            self._file.seek(0, 2)
            self._file.write(data)
            self._file.flush()
            self.count += len(lines)
            self.size_bytes += len(data)

    def read(self, first_seq: int, *, limit: int, limit_bytes: int) -> list[bytes]:
        """The events from `first_seq` on, at most `limit` and about `limit_bytes`."""
        with self._lock:
            if first_seq < self._read_seq:
                self._read_seq, self._read_at = 0, 0
            self._file.seek(self._read_at)
            while self._read_seq < first_seq and self._file.readline():
                self._read_seq += 1
            self._read_at = self._file.tell()
            out: list[bytes] = []
            size_bytes = 0
            while len(out) < limit and size_bytes < limit_bytes and (line := self._file.readline()):
                out.append(line.rstrip(b"\n"))
                size_bytes += len(line)
            return out

    def close(self) -> None:
        self._file.close()
