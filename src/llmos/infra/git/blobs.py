"""Read the content of files kept in git, whole or as a stream."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import IO

import pygit2
from pygit2.enums import ObjectType

from llmos.core.text import lazy
from llmos.infra.git.errors import EntryNotFound, GitFailed
from llmos.infra.git.process import git_environment

CHUNK_BYTES = 1024 * 1024
# Up to here reading at once is faster than starting a process, and small enough to hold.
MAX_WHOLE_BYTES = 8 * 1024 * 1024


def read_blob(git_repo: pygit2.Repository, oid: str) -> bytes:
    """The whole content of a blob, in memory; EntryNotFound if there is none."""
    try:
        kind, data = git_repo.odb.read(pygit2.Oid(hex=oid))
    except (KeyError, ValueError) as error:
        raise EntryNotFound(lazy("Entry not found: no file content %(oid)r.", oid=oid[:40])) from error
    if kind != ObjectType.BLOB:
        raise EntryNotFound(lazy("Entry not found: %(oid)r is not a file content.", oid=oid))
    return data


def iter_blob(
    git_repo: pygit2.Repository, oid: str, *, start: int = 0, length: int | None = None
) -> Iterator[bytes]:
    """The bytes `start` … `start + length - 1` of a blob, in chunks of at most CHUNK_BYTES.

    Memory use does not grow with the blob beyond MAX_WHOLE_BYTES. The size is looked up when
    the first chunk is asked for. Raises EntryNotFound if there is no such blob, GitFailed if
    git stops half-way. `git_repo` is used before the first chunk only.
    """
    size_bytes = _blob_size(git_repo, oid)
    end = size_bytes if length is None else min(size_bytes, start + length)
    if size_bytes <= MAX_WHOLE_BYTES:
        data = read_blob(git_repo, oid)
        for at in range(start, end, CHUNK_BYTES):
            yield data[at : min(at + CHUNK_BYTES, end)]
        return
    process = subprocess.Popen(
        ["git", f"--git-dir={git_repo.path}", "cat-file", "blob", oid],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=git_environment(),
    )
    assert process.stdout is not None
    try:
        yield from _slice(process.stdout, start, end)
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def _slice(source: IO[bytes], start: int, end: int) -> Iterator[bytes]:
    at = 0
    while at < end:
        chunk = source.read(min(CHUNK_BYTES, (start if at < start else end) - at))
        if not chunk:
            raise GitFailed("git cat-file ended before the content did.")
        at += len(chunk)
        if at > start:
            yield chunk


def _blob_size(git_repo: pygit2.Repository, oid: str) -> int:
    try:
        kind, size_bytes = git_repo.odb.read_header(pygit2.Oid(hex=oid))
    except (KeyError, ValueError) as error:
        raise EntryNotFound(lazy("Entry not found: no file content %(oid)r.", oid=oid[:40])) from error
    if kind != ObjectType.BLOB:
        raise EntryNotFound(lazy("Entry not found: %(oid)r is not a file content.", oid=oid))
    return int(size_bytes)
