"""Takes what a job made out of its folder, safely: the folder belongs to a program we do not trust.

Every name is opened from its parent's descriptor without following links, so that a link laid at
the right moment cannot make the runner read a file of the machine.
"""

from __future__ import annotations

import hashlib
import os
import stat
from functools import partial
from pathlib import Path

from llmos.core.results import MAX_STATEMENT_BYTES, MadeFile, digest_results

_MAX_DEPTH = 40
_PIECE_BYTES = 1024 * 1024


class NothingThere(Exception):
    """The declared folder does not exist or holds no file; the text names it."""


def stage(box: Path, path: str, target: Path) -> list[str]:
    """Hard-link the regular files below `box/path` into the new folder `target`.

    Links, devices and pipes are left out; the names of what was left out are returned. Raises
    NothingThere.
    """
    descriptor = os.open(box, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in [part for part in path.split("/") if part not in ("", ".")]:
            if part == "..":
                raise NothingThere(f"{path} leads out of the job's folder")
            try:
                below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            except OSError as error:
                raise NothingThere(f"the job made no folder {path}") from error
            os.close(descriptor)
            descriptor = below
        target.mkdir(parents=True)
        left_out: list[str] = []
        if not _stage_folder(descriptor, target, left_out, depth=0):
            raise NothingThere(f"the job left the folder {path} empty")
        return left_out
    finally:
        os.close(descriptor)


def _stage_folder(descriptor: int, target: Path, left_out: list[str], depth: int) -> int:
    count = 0
    for name in os.listdir(descriptor):
        mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode) and depth < _MAX_DEPTH:
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            try:
                (target / name).mkdir()
                count += _stage_folder(below, target / name, left_out, depth + 1)
            finally:
                os.close(below)
        elif stat.S_ISREG(mode):
            os.link(name, target / name, src_dir_fd=descriptor, follow_symlinks=False)
            # It may have become a link since it was looked at; in our folder it stays what it is.
            if stat.S_ISREG((target / name).lstat().st_mode):
                count += 1
            else:
                (target / name).unlink()
                left_out.append(name)
        else:
            left_out.append(name)
    return count


def digest_tree(folder: Path) -> str:
    """The digest of what a job made, as `core.results` compares it; "" where nothing can be compared."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest_results(
        MadeFile(path.relative_to(folder).as_posix(), partial(_sha256, path), partial(_read, path))
        for path in paths
    )


def _sha256(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            found.update(piece)
    return found.hexdigest()


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.stat().st_size <= MAX_STATEMENT_BYTES else None
