"""The Merkle tree of RFC 6962 ("Certificate Transparency"), section 2.1: roots, proofs, and their checks.

A tree is the list of its leaf hashes, 32 bytes each. Leaves and nodes are hashed with different first
bytes, so that no node can pass for a leaf.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes (MTH)."""
    if not leaves:
        return EMPTY_ROOT
    level = list(leaves)
    while len(level) > 1:
        # A node without a neighbour goes up as it is, which is the RFC's largest power of two on the left.
        last = level[-1:] if len(level) % 2 else []
        level = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)] + last
    return level[0]


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of leaf `index` (PATH). Raises IndexError when there is no such leaf."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"leaf {index} of {len(leaves)}")
    path: list[bytes] = []
    low, high = 0, len(leaves)
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(root(leaves[middle:high]))
            high = middle
        else:
            path.append(root(leaves[low:middle]))
            low = middle
    return path[::-1]


def consistency_proof(leaves: Sequence[bytes], first: int) -> list[bytes]:
    """What shows that the tree of the first `first` leaves is the beginning of this one (PROOF).

    Empty for `first` 0 and for the whole tree. Raises IndexError when there are fewer leaves.
    """
    if not 0 <= first <= len(leaves):
        raise IndexError(f"{first} of {len(leaves)} leaves")
    path: list[bytes] = []
    low, high, is_whole = 0, len(leaves), True
    while 0 < first < high:
        middle = low + _split(high - low)
        if first <= middle:
            path.append(root(leaves[middle:high]))
            high = middle
        else:
            path.append(root(leaves[low:middle]))
            low, is_whole = middle, False
    if first and not is_whole:
        path.append(root(leaves[low:high]))
    return path[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes) -> bool:
    """Whether `proof` leads from the leaf hash at `index` to the root of a tree of `size` leaves."""
    if not 0 <= index < size:
        return False
    climbed = _climb(index, size - 1, proof, leaf, leaf)
    return climbed is not None and climbed[1] == expected


def verify_consistency(
    first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether the tree of `second` leaves begins with the tree of `first` leaves."""
    if not 0 <= first <= second:
        return False
    if first == 0:
        return not proof and first_root == EMPTY_ROOT and (second > 0 or second_root == EMPTY_ROOT)
    if first == second:
        return not proof and first_root == second_root
    current, last, steps, start = first - 1, second - 1, list(proof), first_root
    while current % 2:
        current, last = current >> 1, last >> 1
    if current:
        # Else the old tree is a whole left part of the new one, and its root begins the way up.
        if not steps:
            return False
        start = steps.pop(0)
    return _climb(current, last, steps, start, start) == (first_root, second_root)


def _climb(
    current: int, last: int, proof: Sequence[bytes], old: bytes, new: bytes
) -> tuple[bytes, bytes] | None:
    """The roots of the tree that ends with node `current` and of the one that ends with `last`.

    None when the proof is too short or too long.
    """
    for step in proof:
        if last == 0:
            return None
        if current % 2 or current == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while current % 2 == 0 and current:
                current, last = current >> 1, last >> 1
        else:
            new = node_hash(new, step)
        current, last = current >> 1, last >> 1
    return (old, new) if last == 0 else None


def _split(size: int) -> int:
    """The largest power of two below `size`, which is at least 2."""
    return 1 << (size - 1).bit_length() - 1
