"""Raw copies of files read lately, so that the next plain download is sent straight from disk.

The copies lie in `$LLMOS_HOME/cache/xet`, limited to `hot_cache_bytes`, the longest unused going
first; any of them may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from llmos.infra.runtime import Runtime

# One file may take this part of the cache, so that a single download does not empty it.
_MAX_SHARE = 2
# Longer than any download takes: a copy not touched for so long was left by a crash.
_ABANDONED_S = 24 * 3600.0
_being_copied: set[str] = set()


def hot_root(rt: Runtime) -> Path:
    return rt.settings.home / "cache" / "xet"


def get_hot_path(rt: Runtime, file_hash: str, size_bytes: int) -> Path | None:
    """The raw copy of a file, if there is one; being asked for keeps it in the cache."""
    path = hot_root(rt) / file_hash[:2] / file_hash
    try:
        if path.stat().st_size != size_bytes:
            return None
        os.utime(path)
    except OSError:
        return None
    return path


def keep_hot(
    rt: Runtime,
    file_hash: str,
    size_bytes: int,
    pieces: Iterator[bytes],
) -> Iterator[bytes]:
    """Pass the pieces of a whole file on, and keep a copy once all have gone through.

    A full disk or a file too large for the cache only means that no copy is kept. Of several
    readers at once, one makes the copy.
    """
    limit_bytes = rt.settings.hot_cache_bytes
    if not 0 < size_bytes <= limit_bytes // _MAX_SHARE or file_hash in _being_copied:
        yield from pieces
        return
    _being_copied.add(file_hash)
    root = hot_root(rt)
    aside = root / f".{os.getpid()}-{secrets.token_hex(8)}"
    copy = _Copy(aside)
    try:
        for piece in pieces:
            copy.add(piece)
            yield piece
        make_room(rt, size_bytes)
        copy.publish(root / file_hash[:2] / file_hash, size_bytes)
    finally:
        _being_copied.discard(file_hash)
        copy.close()
        aside.unlink(missing_ok=True)


class _Copy:
    """A file being written that gives up quietly."""

    def __init__(self, path: Path) -> None:
        self._fd: int | None = None
        self._path = path
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)

    def add(self, piece: bytes) -> None:
        if self._fd is None:
            return
        try:
            view = memoryview(piece)
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            self.close()

    def publish(self, target: Path, size_bytes: int) -> None:
        if self._fd is None:
            return
        with contextlib.suppress(OSError):
            if os.fstat(self._fd).st_size != size_bytes:
                return
            # Without this a power cut could leave a file of the right size full of zeros.
            os.fdatasync(self._fd)
            target.parent.mkdir(exist_ok=True, mode=0o750)
            os.replace(self._path, target)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def make_room(rt: Runtime, adding_bytes: int = 0) -> None:
    """Delete the longest unused copies until `adding_bytes` more fit into `hot_cache_bytes`."""
    limit_bytes = rt.settings.hot_cache_bytes
    abandoned_before_s = time.time() - _ABANDONED_S
    held: list[tuple[float, int, Path]] = []
    for folder, _dirs, names in os.walk(hot_root(rt)):
        for name in names:
            with contextlib.suppress(OSError):
                path = Path(folder, name)
                stat = path.stat()
                if name.startswith(".") and stat.st_mtime < abandoned_before_s:
                    path.unlink()
                    continue
                held.append((stat.st_mtime, stat.st_size, path))
    total = sum(size for _, size, _ in held) + adding_bytes
    for _, size, path in sorted(held):
        if total <= limit_bytes:
            return
        if not path.name.startswith("."):
            path.unlink(missing_ok=True)
            total -= size
