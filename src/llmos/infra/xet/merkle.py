"""Merkle aggregation of chunk hashes into xorb hashes and file hashes.

Each level is cut from the left into groups of 3 to 9 nodes: after the first node, from the third
on, whose hash is divisible by 4, or after nine; what remains at the end is one last group (Xet
protocol, Merkle aggregation). A parent's name depends only on its group, so a file of any size
needs only a few waiting nodes per level.
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from llmos.infra.xet.errors import XetFormatError
from llmos.infra.xet.hashes import (
    HASH_BYTES,
    ZERO_HASH,
    XetHash,
    hash_file_root,
    hash_node,
    to_hex,
)

Node: TypeAlias = tuple[XetHash, int]  # hash, raw length in bytes

_MIN_GROUP = 3
_MAX_GROUP = 9
_CUT_MASK = 3
_WAITING_NODES = 4096


class MerkleAccumulator:
    """Takes the chunks of a file or xorb in order and gives the root; memory stays flat."""

    def __init__(self) -> None:
        self._levels: list[list[Node]] = [[]]

    def extend(self, nodes: Iterable[Node]) -> None:
        """Append (hash, length) pairs. Raises XetFormatError for a hash of a wrong size."""
        waiting = self._levels[0]
        waiting.extend(nodes)
        if len(waiting) >= _WAITING_NODES:
            self._collapse(0)

    def finish(self) -> XetHash:
        """The root of everything appended; 32 zero bytes for nothing. Ends the accumulator."""
        depth = 0
        while True:
            nodes = self._levels[depth]
            if len(nodes) <= 1 and not any(self._levels[depth + 1 :]):
                return nodes[0][0] if nodes else ZERO_HASH
            parents, rest = _cut_groups(nodes)
            if rest:
                parents.append(_parent(rest))
            self._levels[depth] = []
            self._level(depth + 1).extend(parents)
            depth += 1

    def _level(self, depth: int) -> list[Node]:
        if depth == len(self._levels):
            self._levels.append([])
        return self._levels[depth]

    def _collapse(self, depth: int) -> None:
        parents, rest = _cut_groups(self._levels[depth])
        self._levels[depth] = rest
        above = self._level(depth + 1)
        above.extend(parents)
        if len(above) >= _WAITING_NODES:
            self._collapse(depth + 1)


def merkle_root(nodes: Iterable[Node]) -> XetHash:
    """Root of (hash, length) pairs: of one pair its own hash, of none 32 zero bytes."""
    tree = MerkleAccumulator()
    tree.extend(nodes)
    return tree.finish()


def xorb_hash(nodes: Iterable[Node]) -> XetHash:
    """Name of the xorb that holds these chunks in this order."""
    return merkle_root(nodes)


def file_hash(nodes: Iterable[Node]) -> XetHash:
    """Name of the file made of these chunks in this order."""
    return hash_file_root(merkle_root(nodes))


def _cut_groups(nodes: Sequence[Node]) -> tuple[list[Node], list[Node]]:
    """Parents of all groups that are closed, and the nodes of the last, open group."""
    parents: list[Node] = []
    start = 0
    for index, (value, _) in enumerate(nodes, start=1):
        if len(value) != HASH_BYTES:
            raise XetFormatError(f"A Xet hash has 32 bytes, not {len(value)}.")
        size = index - start
        if size >= _MIN_GROUP and (size == _MAX_GROUP or not value[24] & _CUT_MASK):
            parents.append(_parent(nodes[start:index]))
            start = index
    return parents, list(nodes[start:])


def _parent(group: Sequence[Node]) -> Node:
    text = "".join([f"{to_hex(value)} : {length}\n" for value, length in group])
    return hash_node(text.encode("ascii")), sum([length for _, length in group])
