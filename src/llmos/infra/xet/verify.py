"""What a server checks before it believes a shard, given the chunk lists it already verified."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from llmos.infra.xet.arrays import np
from llmos.infra.xet.chunks import ChunkTable
from llmos.infra.xet.errors import XetFormatError
from llmos.infra.xet.hashes import XetHash, hash_file_root, hash_range, to_hex
from llmos.infra.xet.merkle import MerkleAccumulator
from llmos.infra.xet.shard import ShardFile, ShardTerm, ShardXorb

TableOf: TypeAlias = Callable[[XetHash], ChunkTable]
"""Gives the chunk list of a stored xorb by name, or raises its own error if there is none."""


def check_xorb_claim(claim: ShardXorb, table: ChunkTable) -> None:
    """Raises XetFormatError unless a shard describes the stored xorb exactly."""
    count = len(table)
    if (
        len(claim) != count
        or claim.chunk_hashes != table.hashes(0, count)
        or not np.array_equal(np.cumsum(claim.raw_sizes, dtype=np.int64), table.raw_ends)
    ):
        raise XetFormatError(
            f"The shard lists other chunks for xorb {to_hex(claim.xorb_hash)} than it holds."
        )


def check_term(term: ShardTerm, table: ChunkTable, verification: XetHash | None) -> None:
    """Raises XetFormatError unless the term's chunks exist and add up to its length.

    A verification hash, where given, must match: it proves that the sender knows the chunks.
    """
    name = to_hex(term.xorb_hash)
    if not 0 <= term.chunk_start < term.chunk_end <= len(table):
        raise XetFormatError(f"A file term goes beyond the chunks of xorb {name}.")
    if table.raw_bytes(term.chunk_start, term.chunk_end) != term.raw_bytes:
        raise XetFormatError(f"A file term's length differs from its chunks in xorb {name}.")
    if verification is not None:
        actual = hash_range(table.hashes(term.chunk_start, term.chunk_end))
        if actual != verification:
            raise XetFormatError(f"A file term's verification hash is wrong for xorb {name}.")


def check_file(file: ShardFile, table_of: TableOf) -> int:
    """Prove a file: every term, its verification hash, and the file hash made anew from chunks.

    Returns the file's size in bytes. Raises XetFormatError for any difference and for missing
    verification hashes, and whatever `table_of` raises for an unknown xorb.
    """
    if file.verification is None:
        raise XetFormatError(f"File {to_hex(file.file_hash)} comes without verification hashes.")
    tree = MerkleAccumulator()
    for term, verification in zip(file.terms, file.verification, strict=True):
        table = table_of(term.xorb_hash)
        check_term(term, table, verification)
        tree.extend(table.nodes(term.chunk_start, term.chunk_end))
    actual = hash_file_root(tree.finish())
    if actual != file.file_hash:
        raise XetFormatError(
            f"The terms of file {to_hex(file.file_hash)} make file {to_hex(actual)} instead."
        )
    return file.size_bytes
