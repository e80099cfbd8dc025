"""Hash strings, Merkle roots and the stored chunk list."""

import time
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from llmos.infra.xet.chunks import ChunkRecord, pack_chunks, unpack_chunks
from llmos.infra.xet.errors import XetFormatError
from llmos.infra.xet.hashes import (
    ZERO_HASH,
    from_hex,
    hash_node,
    hmac_chunk_hash,
    is_dedup_eligible,
    sha256_from_record,
    sha256_to_record,
    to_hex,
)
from llmos.infra.xet.merkle import MerkleAccumulator, Node, file_hash, merkle_root, xorb_hash

HASHES = st.binary(min_size=32, max_size=32)
NODES = st.lists(st.tuples(HASHES, st.integers(0, 2**40)), max_size=120)
RECORDS = st.lists(
    st.tuples(HASHES, st.integers(1, 131_072), st.integers(9, 262_152), st.integers(0, 2)),
    min_size=1,
    max_size=60,
)


def test_hash_text_reverses_each_group_of_eight_bytes() -> None:
    text = "07060504030201000f0e0d0c0b0a090817161514131211101f1e1d1c1b1a1918"
    assert to_hex(bytes(range(32))) == text
    assert from_hex(text) == bytes(range(32))


@given(HASHES)
def test_hash_text_round_trip(value: bytes) -> None:
    assert from_hex(to_hex(value)) == value
    assert sha256_to_record(sha256_from_record(value)) == value


@pytest.mark.parametrize("text", ["", "0" * 63, "0" * 65, "G" * 64, "A" * 64, "0" * 63 + "\n"])
def test_hash_text_refuses_other_spellings(text: str) -> None:
    with pytest.raises(XetFormatError):
        from_hex(text)


def test_hash_of_wrong_length_is_refused() -> None:
    with pytest.raises(XetFormatError):
        to_hex(b"short")
    with pytest.raises(XetFormatError):
        merkle_root([(b"short", 1)] * 3)


def test_hmac_key_of_zeros_hides_nothing() -> None:
    value = bytes(range(32))
    assert hmac_chunk_hash(value, ZERO_HASH) == value
    assert hmac_chunk_hash(value, b"k" * 32) == blake3(value, key=b"k" * 32).digest()


def test_dedup_eligibility_looks_at_the_last_number() -> None:
    assert is_dedup_eligible(b"\xff" * 24 + (4096).to_bytes(8, "little"))
    assert not is_dedup_eligible(b"\x00" * 24 + (4097).to_bytes(8, "little"))


def test_merkle_of_nothing_and_of_one() -> None:
    assert merkle_root([]) == file_hash([]) == ZERO_HASH
    assert xorb_hash([(b"a" * 32, 7)]) == b"a" * 32
    assert file_hash([(b"a" * 32, 7)]) == blake3(b"a" * 32, key=ZERO_HASH).digest()


def reference_root(nodes: list[Node]) -> bytes:
    """The aggregation rule as the protocol words it, one whole level after another."""
    while len(nodes) > 1:
        parents = []
        while nodes:
            size = len(nodes)
            if size > 2:
                size = min(9, size)
                for index in range(2, size):
                    if int.from_bytes(nodes[index][0][24:], "little") % 4 == 0:
                        size = index + 1
                        break
            group, nodes = nodes[:size], nodes[size:]
            text = "".join(f"{to_hex(value)} : {length}\n" for value, length in group)
            parents.append((hash_node(text.encode()), sum(length for _, length in group)))
        nodes = parents
    return nodes[0][0] if nodes else ZERO_HASH


@given(NODES)
def test_merkle_root_follows_the_protocol(nodes: list[Node]) -> None:
    assert merkle_root(nodes) == reference_root(nodes)


def test_merkle_root_is_the_same_in_pieces_and_fast() -> None:
    nodes = [(blake3(i.to_bytes(4, "little")).digest(), 65_536 + i) for i in range(16_384)]
    started = time.process_time()
    root = merkle_root(nodes)
    assert time.process_time() - started < 1.0  # 0.08 s alone; room for a busy machine
    tree = MerkleAccumulator()
    for start in range(0, len(nodes), 1000):
        tree.extend(nodes[start : start + 1000])
    assert tree.finish() == root == reference_root(nodes)


def make_records(rows: list[tuple[bytes, int, int, int]]) -> list[ChunkRecord]:
    records, offset = [], 0
    for value, raw_size, packed_size, scheme in rows:
        records.append(ChunkRecord(value, raw_size, packed_size, offset, scheme))
        offset += packed_size
    return records


@given(RECORDS)
def test_chunk_list_round_trip(rows: list[tuple[bytes, int, int, int]]) -> None:
    records = make_records(rows)
    blob = pack_chunks(records)
    table = unpack_chunks(blob)
    assert len(blob) == 40 * len(records)
    assert list(table) == records
    assert table[1:] == records[1:]
    assert table[-1] == records[-1]
    assert table.nodes(1, len(table)) == [(r.hash, r.raw_size) for r in records[1:]]
    raw_offset = 0
    for index, record in enumerate(records):
        assert table.index_at(raw_offset) == index
        assert table.index_at(raw_offset + record.raw_size - 1) == index
        raw_offset += record.raw_size
    assert table.raw_bytes(0, len(table)) == raw_offset


@given(st.binary(max_size=200))
def test_chunk_list_refuses_junk_only_with_the_typed_error(blob: bytes) -> None:
    try:
        table = unpack_chunks(blob)
    except XetFormatError:
        return
    assert pack_chunks(table) == blob


@pytest.mark.parametrize(
    "change",
    [
        {"packed_offset": 1},
        {"raw_size": 0},
        {"raw_size": 131_073},
        {"packed_size": 8},
        {"packed_size": 262_153},
        {"scheme": 3},
        {"hash": b"short"},
    ],
)
def test_chunk_list_refuses_records_outside_the_limits(change: dict[str, Any]) -> None:
    good = ChunkRecord(b"h" * 32, 10, 18, 0, 0)
    with pytest.raises(XetFormatError):
        pack_chunks([good._replace(**change)])


def test_chunk_list_refuses_none_and_too_many() -> None:
    with pytest.raises(XetFormatError):
        pack_chunks([])
    with pytest.raises(XetFormatError, match="8192"):
        pack_chunks(make_records([(b"h" * 32, 1, 9, 0)] * 8193))
