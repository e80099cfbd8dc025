"""Digests of what a score depends on: SHA-256 in lower-case hex, the rule of each told at its function."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from llmos.records.canonical import digest, plain
from llmos.records.errors import RecordError


@dataclass(frozen=True)
class HashedFile:
    path: Path
    size_bytes: int
    sha256: str


def hash_file(path: Path) -> HashedFile:
    """Size and digest of a regular file, read in pieces. Raises RecordError for anything else."""
    with open_regular(path) as file:
        found = hashlib.file_digest(file, "sha256")
        return HashedFile(path, file.tell(), found.hexdigest())


def hash_files(paths: Sequence[Path]) -> list[HashedFile]:
    """`hash_file` of each, several at a time: hashing leaves the interpreter's lock."""
    if len(paths) < 2:
        return [hash_file(path) for path in paths]
    with ThreadPoolExecutor(min(len(paths), os.cpu_count() or 1, 8)) as pool:
        return list(pool.map(hash_file, paths))


def row_digest(row: Mapping[str, Any]) -> str:
    """Of one row of a data set as `llmos.records.rows` reads it: its canonical JSON, made plain."""
    return digest(plain(row))


def rows_digest(row_sha256: Iterable[str]) -> str:
    """Of the rows asked, in their order: the JSON list of their digests."""
    return digest(list(row_sha256))


def prompt_digest(prompt: str) -> str:
    """Of the UTF-8 text that the model read before the choices or its own output."""
    return hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()


def prompts_digest(prompt_sha256: Iterable[str]) -> str:
    """Of all prompts, in the order of the samples: the JSON list of their digests."""
    return digest(list(prompt_sha256))


def fewshot_digest(fewshot_ids: Iterable[Sequence[str]]) -> str:
    """Of the examples shown, in order: a JSON list of one list of ids for each sample."""
    return digest([list(ids) for ids in fewshot_ids])


def task_digest(task: Mapping[str, Any]) -> str:
    """Of the task as it was run, every default filled in: its canonical JSON."""
    return digest(dict(task))


def lock_digest(packages: Mapping[str, str]) -> str:
    """Of the libraries: the lines name==version, sorted, joined by line feeds."""
    lines = sorted(f"{name}=={version}" for name, version in packages.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def record_id(statement: Mapping[str, Any]) -> str:
    """The name of a record: 32 hex digits of the digest of its statement without `record_id`."""
    predicate = {key: value for key, value in statement["predicate"].items() if key != "record_id"}
    return digest({**statement, "predicate": predicate})[:32]


def locate(folder: Path, name: str) -> Path:
    """Where a file of a bundle is: in the folder, or where the Hub's client keeps its downloads for it.

    That client lays `snapshots/<commit>/…` out as links into the `blobs` beside it. Any other link is left to
    `open_regular` to refuse: it may lead to whatever its maker likes.
    """
    path = folder / name
    if path.is_symlink():
        cache = next(
            (parent.parent for parent in path.absolute().parents if parent.name == "snapshots"), None
        )
        target = path.resolve()
        if cache is not None and target.parent == (cache / "blobs").resolve():
            return target
    return path


def open_regular(path: Path, *, follow_links: bool = True) -> BufferedReader:
    """A file opened for reading. Raises RecordError for anything else; a pipe is not waited for."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow_links else os.O_NOFOLLOW)
    try:
        number = os.open(path, flags)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        if isinstance(error, OSError) and error.errno == errno.ELOOP:
            reason = "it is a link"
        raise RecordError(f"{path} cannot be read: {reason}.", file=path.name) from error
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise RecordError(f"{path} is not a file.", file=path.name)
    return os.fdopen(number, "rb")
