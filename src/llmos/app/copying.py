"""Copies of folders that are written to meanwhile."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

MAX_ROUNDS = 20
# What only a running git means anything to; a lock in a copy would block its ref for ever.
_TRANSIENT_ENDINGS = (".lock", ".part")
_TRANSIENT_STARTS = ("tmp_", "incoming-", "quarantine-")


def copy_tree(source: Path, target: Path, *, overwrite: bool) -> int:
    """Copy files that are missing or (with `overwrite`) changed; remove nothing; return how many."""
    return sum(
        _copy_one(path, target / path.relative_to(source), overwrite) or 0 for path in _files(source, target)
    )


def copy_git_root(source: Path, target: Path) -> int:
    """Copy every repository below `source`; return how many files were new."""
    return sum(copy_repo(path, target / path.relative_to(source)) for path in sorted(source.glob("*/*.git")))


def copy_repo(source: Path, target: Path) -> int:
    """Bring the copy of a bare repository up to date while people push to it.

    Refs are copied before objects, so the copy never names an object it lacks, and refs that are
    gone are removed: an old loose ref would hide the newer packed one.
    """
    copied = _mirror_refs(source, target)
    for _ in range(MAX_ROUNDS):
        vanished = False
        for path in _files(source, target):
            new = _copy_one(path, target / path.relative_to(source), False)
            copied += new or 0
            vanished = vanished or new is None
        if not vanished:
            break  # else a repack moved objects while they were listed: look again
    return copied


def _mirror_refs(source: Path, target: Path) -> int:
    """Loose refs first, as packing writes the packed ones before it removes the loose ones."""
    loose = list(_files(source / "refs", target / "refs"))
    packed = [source / name for name in ("packed-refs", "HEAD", "config") if (source / name).exists()]
    copied = sum(_copy_one(path, target / path.relative_to(source), True) or 0 for path in [*loose, *packed])
    kept = {path.relative_to(source) for path in [*loose, *packed]}
    for path in [*(target / "refs").rglob("*"), target / "packed-refs"]:
        if path.is_file() and path.relative_to(target) not in kept:
            path.unlink()
    return copied


def _files(source: Path, target: Path) -> Iterator[Path]:
    """The files below `source`; their folders are made below `target`."""
    for folder, below, names in os.walk(source):
        below[:] = [name for name in below if not name.startswith(_TRANSIENT_STARTS)]
        here = target / Path(folder).relative_to(source)
        here.mkdir(parents=True, exist_ok=True)
        here.chmod(Path(folder).stat().st_mode)
        for name in names:
            if not name.startswith(_TRANSIENT_STARTS) and not name.endswith(_TRANSIENT_ENDINGS):
                yield Path(folder, name)


def _copy_one(source: Path, target: Path, overwrite: bool) -> int | None:
    """1 if it was copied, 0 if the copy is good already, None if the file is gone again."""
    try:
        stat = source.stat()
        if target.exists():
            known = target.stat()
            same = known.st_size == stat.st_size and known.st_mtime_ns == stat.st_mtime_ns
            if same or not overwrite:
                return 0
        part = target.with_name(f"{target.name}.part")
        shutil.copy2(source, part)
        part.replace(target)
    except FileNotFoundError:
        return None
    return 1
