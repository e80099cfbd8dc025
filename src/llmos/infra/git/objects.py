"""New objects of one change: few become loose files, many become one pack."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import pygit2
from pygit2.enums import ObjectType

from llmos.core.text import lazy
from llmos.infra.git.errors import RevisionNotFound
from llmos.infra.git.packs import TYPE_NUMBERS, PackWriter, object_header, wrong_size
from llmos.infra.git.repository import fsync_folder

MAX_LOOSE_OBJECTS = 8
MAX_LOOSE_BYTES = 1024 * 1024


class ObjectWriter:
    """Write blobs, trees and commits so that they are durable when `flush` returns.

    Objects are invisible to others until `flush`; up to MAX_LOOSE_OBJECTS objects of
    MAX_LOOSE_BYTES in all become loose files, beyond that all go into one pack, and content is
    never held in memory. Use as a context manager: leaving it without `flush` drops the rest.
    Belongs to one thread, as its `git_repo` does.
    """

    def __init__(self, git_repo: pygit2.Repository) -> None:
        self.git_repo = git_repo
        self._few: dict[bytes, tuple[str, bytes]] = {}
        self._few_bytes = 0
        self._pack: PackWriter | None = None
        self._trees: dict[bytes, bytes] = {}

    def __enter__(self) -> ObjectWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._drop()

    def write(self, kind: str, data: bytes) -> str:
        """Add an object (`commit`, `tree`, `blob`, `tag`) and return its id.

        Objects the repository holds already are written again: a pack may repeat an object, and
        trusting an old copy would race with a gc that is about to remove it.
        """
        digest = hashlib.sha1(object_header(kind, len(data)), usedforsecurity=False)
        digest.update(data)
        oid = digest.digest()
        if kind == "tree":
            self._trees[oid] = data
        if self._pack is not None:
            self._pack.add(kind, data, oid)
        elif oid not in self._few:
            self._few[oid] = (kind, data)
            self._few_bytes += len(data)
            if len(self._few) > MAX_LOOSE_OBJECTS or self._few_bytes > MAX_LOOSE_BYTES:
                self._open_pack()
        return oid.hex()

    def write_blob(self, data: bytes) -> str:
        return self.write("blob", data)

    def write_blob_stream(self, chunks: Iterable[bytes], size_bytes: int) -> str:
        """Add a blob of exactly `size_bytes`, read chunk by chunk; BadRequest if it is not."""
        if size_bytes <= MAX_LOOSE_BYTES // 16:
            data = bytearray()
            for chunk in chunks:
                data += chunk
                if len(data) > size_bytes:
                    break
            if len(data) != size_bytes:
                raise wrong_size(size_bytes)
            return self.write("blob", bytes(data))
        return self._open_pack().add_stream("blob", chunks, size_bytes).hex()

    def read_tree(self, oid: str) -> bytes:
        """The raw bytes of a tree, written here or held by the repository."""
        pending = self._trees.get(bytes.fromhex(oid))
        if pending is not None:
            return pending
        try:
            kind, data = self.git_repo.odb.read(pygit2.Oid(hex=oid))
        except KeyError as error:
            raise RevisionNotFound(lazy("Invalid rev id: there is no tree %(oid)s", oid=oid)) from error
        if kind != ObjectType.TREE:
            raise RevisionNotFound(lazy("Invalid rev id: %(oid)s is not a tree", oid=oid))
        return data

    def _open_pack(self) -> PackWriter:
        if self._pack is None:
            self._pack = PackWriter(Path(self.git_repo.path) / "objects" / "pack")
            for oid, (kind, data) in self._few.items():
                self._pack.add(kind, data, oid)
            self._few.clear()
            self._few_bytes = 0
        return self._pack

    def flush(self) -> None:
        """Make everything written so far durable and visible; the writer stays usable."""
        if self._pack is not None:
            pack, self._pack = self._pack, None
            pack.finish()
        odb = self.git_repo.odb
        for kind, data in self._few.values():
            odb.write(TYPE_NUMBERS[kind], data)
        if self._few:
            # libgit2 syncs each file and its folder, not the name of a folder it just made.
            fsync_folder(Path(self.git_repo.path) / "objects")
        self._drop()

    def _drop(self) -> None:
        if self._pack is not None:
            self._pack.abandon()
            self._pack = None
        self._few.clear()
        self._few_bytes = 0
        self._trees.clear()
