"""Files that survive a power cut: written aside, fsynced, then renamed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def fsync_dir(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def publish_file(source: Path, target: Path) -> None:
    """Move `source` (same file system, already written) to `target` durably.

    Both the bytes and the new directory entries are on disk when this returns.
    """
    fd = os.open(source, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    make_parents(target.parent)
    os.replace(source, target)
    fsync_dir(target.parent)


def write_file(target: Path, data: bytes, *, tmp_root: Path) -> None:
    """Write `data` to `target` durably, via a temporary file in `tmp_root`."""
    tmp_root.mkdir(parents=True, exist_ok=True)
    source = tmp_root / f"w-{os.getpid()}-{os.urandom(8).hex()}"
    try:
        with source.open("wb") as out:
            out.write(data)
        publish_file(source, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            source.unlink()


def make_parents(folder: Path) -> None:
    """Make a folder and all above it that are missing, durably."""
    created: list[Path] = []
    probe = folder
    while not probe.exists():
        created.append(probe)
        probe = probe.parent
    folder.mkdir(parents=True, exist_ok=True)
    for made in created:
        fsync_dir(made.parent)
