"""The bytes of a tree object: parse, order, format."""

from __future__ import annotations

import re
from collections.abc import Mapping
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


# Few modes exist; looking them up is faster than reading octal digits for every entry.
_MODES = {
    b"%o" % mode: mode for mode in (MODE_TREE, MODE_FILE, MODE_EXECUTABLE, MODE_SYMLINK, MODE_SUBMODULE)
}


def read_entries(data: bytes) -> list[RawEntry]:
    """The entries of a raw tree in stored order, which is git order."""
    known = _MODES
    return [RawEntry(name, known.get(mode) or int(mode, 8), oid) for mode, name, oid in _ENTRY.findall(data)]


def parse_tree(data: bytes) -> dict[bytes, RawEntry]:
    return {entry[0]: entry for entry in read_entries(data)}


def format_tree(entries: Mapping[bytes, RawEntry]) -> bytes:
    def key(entry: RawEntry) -> bytes:
        name, mode, _ = entry
        return name + b"/" if mode == MODE_TREE else name

    ordered = sorted(entries.values(), key=key)
    return b"".join([b"%o %s\0%s" % (mode, name, oid) for name, mode, oid in ordered])
