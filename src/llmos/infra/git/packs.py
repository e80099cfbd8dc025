"""Write one pack file with its index, streaming (git's pack format 2, index format 2).

Many new objects as loose files cost two fsyncs each; one pack costs three in all.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from llmos.core.errors import BadRequest
from llmos.core.text import lazy
from llmos.infra.git.repository import fsync_folder

TYPE_NUMBERS = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}
_LEVEL = 1
_READ_BYTES = 1024 * 1024
_LARGE_OFFSET = 0x80000000


def object_header(kind: str, size_bytes: int) -> bytes:
    """What git hashes in front of an object's bytes."""
    return f"{kind} {size_bytes}\0".encode()


def _entry_header(kind: str, size_bytes: int) -> bytes:
    first = (TYPE_NUMBERS[kind] << 4) | (size_bytes & 15)
    rest = size_bytes >> 4
    out = bytearray()
    while rest:
        out.append(first | 0x80)
        first = rest & 0x7F
        rest >>= 7
    out.append(first)
    return bytes(out)


def wrong_size(size_bytes: int) -> BadRequest:
    return BadRequest(
        lazy("The content is not the announced %(size_bytes)s bytes long.", size_bytes=size_bytes)
    )


class PackWriter:
    """Collects objects in a temporary file; `finish` makes them durable and visible.

    Until `finish` no reader sees anything; `abandon` removes the file. What a crash leaves
    behind has git's own prefix for temporary packs and is removed by `git gc`.
    """

    def __init__(self, pack_folder: Path) -> None:
        self._folder = pack_folder
        self._path = pack_folder / f"tmp_pack_{secrets.token_hex(8)}"
        self._file: BinaryIO = self._path.open("x+b")
        self._file.write(b"\0" * 12)
        self._offset = 12
        self._entries: dict[bytes, tuple[int, int]] = {}

    def __contains__(self, oid: bytes) -> bool:
        return oid in self._entries

    def add(self, kind: str, data: bytes, oid: bytes) -> None:
        """Append an object whose id the caller has computed; a second time does nothing."""
        if oid in self._entries:
            return
        packed = _entry_header(kind, len(data)) + zlib.compress(data, _LEVEL)
        self._file.write(packed)
        self._entries[oid] = (self._offset, zlib.crc32(packed))
        self._offset += len(packed)

    def add_stream(self, kind: str, chunks: Iterable[bytes], size_bytes: int) -> bytes:
        """Append an object of known size chunk by chunk and return its id.

        Raises BadRequest, keeping nothing of it, if the chunks do not add up to `size_bytes`.
        """
        start = self._offset
        try:
            oid, crc = self._copy_stream(kind, chunks, size_bytes)
        except BaseException:
            self._rewind(start)
            raise
        if oid in self._entries:
            self._rewind(start)
        else:
            self._entries[oid] = (start, crc)
        return oid

    def _copy_stream(self, kind: str, chunks: Iterable[bytes], size_bytes: int) -> tuple[bytes, int]:
        digest = hashlib.sha1(object_header(kind, size_bytes), usedforsecurity=False)
        packer = zlib.compressobj(_LEVEL)
        crc = self._append(_entry_header(kind, size_bytes), 0)
        seen_bytes = 0
        for chunk in chunks:
            seen_bytes += len(chunk)
            if seen_bytes > size_bytes:
                break
            digest.update(chunk)
            crc = self._append(packer.compress(chunk), crc)
        if seen_bytes != size_bytes:
            raise wrong_size(size_bytes)
        crc = self._append(packer.flush(), crc)
        return digest.digest(), crc

    def _append(self, data: bytes, crc: int) -> int:
        self._file.write(data)
        self._offset += len(data)
        return zlib.crc32(data, crc)

    def _rewind(self, offset: int) -> None:
        self._file.seek(offset)
        self._file.truncate()
        self._offset = offset

    def finish(self) -> str:
        """Write pack and index durably, make them visible, and return the pack's name."""
        try:
            checksum = self._seal()
            name = f"pack-{checksum.hex()}"
            index = self._write_index(checksum)
            for temporary, suffix in ((self._path, ".pack"), (index, ".idx")):
                # The index comes last: readers find packs by their index.
                temporary.chmod(0o444)
                temporary.rename(self._folder / (name + suffix))
            fsync_folder(self._folder)
        except BaseException:
            self.abandon()
            raise
        return name

    def _seal(self) -> bytes:
        self._file.seek(0)
        self._file.write(b"PACK" + struct.pack(">II", 2, len(self._entries)))
        self._file.seek(0)
        digest = hashlib.sha1(usedforsecurity=False)
        while block := self._file.read(_READ_BYTES):
            digest.update(block)
        self._file.write(digest.digest())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return digest.digest()

    def _write_index(self, pack_checksum: bytes) -> Path:
        path = self._folder / f"tmp_idx_{secrets.token_hex(8)}"
        body = self._index_body() + pack_checksum
        with path.open("xb") as file:
            file.write(body)
            file.write(hashlib.sha1(body, usedforsecurity=False).digest())
            file.flush()
            os.fsync(file.fileno())
        return path

    def _index_body(self) -> bytes:
        oids = sorted(self._entries)
        counts = [0] * 256
        for oid in oids:
            counts[oid[0]] += 1
        fanout, total = [], 0
        for count in counts:
            total += count
            fanout.append(total)
        offsets, large = [], []
        for oid in oids:
            offset = self._entries[oid][0]
            if offset >= _LARGE_OFFSET:
                large.append(offset)
                offset = _LARGE_OFFSET | (len(large) - 1)
            offsets.append(offset)
        return b"".join(
            [
                b"\xfftOc" + struct.pack(">I", 2),
                struct.pack(">256I", *fanout),
                *oids,
                struct.pack(f">{len(oids)}I", *(self._entries[oid][1] for oid in oids)),
                struct.pack(f">{len(oids)}I", *offsets),
                struct.pack(f">{len(large)}Q", *large),
            ]
        )

    def abandon(self) -> None:
        """Throw everything away; safe to call twice."""
        self._file.close()
        self._path.unlink(missing_ok=True)
