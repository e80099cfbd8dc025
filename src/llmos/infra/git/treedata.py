"""The bytes of a tree object: parse, order, format."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

MODE_TREE = 0o040000
MODE_FILE = 0o100644
MODE_EXECUTABLE = 0o100755
MODE_SYMLINK = 0o120000
MODE_SUBMODULE = 0o160000
_ENTRY = re.compile(rb"([0-7]{5,6}) ([^\0]+)\0(.{20})", re.DOTALL)


class RawEntry(NamedTuple):
    name: bytes
    mode: int
    oid: bytes

    @property
    def is_tree(self) -> bool:
        return self.mode == MODE_TREE

    @property
    def sort_key(self) -> bytes:
        """Git orders a folder as if its name ended in a slash."""
        return self.name + b"/" if self.mode == MODE_TREE else self.name


def iter_entries(data: bytes) -> Iterator[RawEntry]:
    """The entries of a raw tree in stored order, which is git order."""
    for mode, name, oid in _ENTRY.findall(data):
        yield RawEntry(name, int(mode, 8), oid)


def parse_tree(data: bytes) -> dict[bytes, RawEntry]:
    return {entry.name: entry for entry in iter_entries(data)}


def format_tree(entries: Mapping[bytes, RawEntry]) -> bytes:
    ordered = sorted(entries.values(), key=lambda entry: entry.sort_key)
    return b"".join(b"%o %s\0%s" % (entry.mode, entry.name, entry.oid) for entry in ordered)
