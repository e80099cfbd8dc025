"""Shards: round trips, the checks before a shard is believed, and hostile bytes."""

import contextlib
import dataclasses
import struct
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.core.errors import NotFound
from llmos.infra.xet.chunks import ChunkTable
from llmos.infra.xet.errors import XetFormatError
from llmos.infra.xet.hashes import hash_range, hmac_chunk_hash
from llmos.infra.xet.merkle import file_hash
from llmos.infra.xet.shard import Shard, ShardFile, ShardTerm, ShardXorb, parse_shard
from llmos.infra.xet.shard_writer import ShardFooter, dedup_shard, parse_footer, write_shard
from llmos.infra.xet.verify import check_file, check_xorb_claim
from llmos.infra.xet.xorb import build_xorb

HASHES = st.binary(min_size=32, max_size=32).filter(lambda value: value != b"\xff" * 32)


@st.composite
def files(draw: st.DrawFn) -> ShardFile:
    terms = []
    for _ in range(draw(st.integers(0, 5))):
        start = draw(st.integers(0, 8000))
        end = draw(st.integers(start + 1, 8192))
        raw_bytes = draw(st.integers(1, (end - start) * 131_072))
        terms.append(ShardTerm(draw(HASHES), raw_bytes, start, end))
    proofs = [draw(HASHES) for _ in terms] if draw(st.booleans()) else None
    return ShardFile(draw(HASHES), terms, proofs, draw(st.none() | HASHES.map(bytes.hex)))


@st.composite
def xorbs(draw: st.DrawFn) -> ShardXorb:
    sizes = draw(st.lists(st.integers(1, 131_072), min_size=1, max_size=6))
    flags = draw(st.frozensets(st.integers(0, len(sizes) - 1)))
    hashes = b"".join(draw(HASHES) for _ in sizes)
    return ShardXorb(draw(HASHES), hashes, tuple(sizes), sum(sizes), draw(st.integers(0, 9)), flags)


SHARDS = st.builds(Shard, st.lists(files(), max_size=4), st.lists(xorbs(), max_size=4))


class Store:
    """Two xorbs and one file that takes pieces of both."""

    def __init__(self) -> None:
        self.tables: dict[bytes, ChunkTable] = {}
        for letters in (b"abcde", b"vwxyz"):
            _, parsed = build_xorb([bytes([letter]) * 100 for letter in letters])
            self.tables[parsed.xorb_hash] = parsed.table()
        (self.first, self.second) = self.tables
        terms = [ShardTerm(self.first, 300, 1, 4), ShardTerm(self.second, 200, 0, 2)]
        parts = [(self.tables[t.xorb_hash], t.chunk_start, t.chunk_end) for t in terms]
        nodes = [node for table, start, end in parts for node in table.nodes(start, end)]
        proofs = [hash_range(table.hashes(start, end)) for table, start, end in parts]
        self.file = ShardFile(file_hash(nodes), terms, proofs, "00" * 31 + "01")

    def table_of(self, name: bytes) -> ChunkTable:
        if name not in self.tables:
            raise NotFound("No such xorb.")
        return self.tables[name]


@pytest.fixture(scope="module")
def store() -> Store:
    return Store()


@given(SHARDS)
def test_shard_round_trip(shard: Shard) -> None:
    assert parse_shard(write_shard(shard.files, shard.xorbs)) == shard


@given(SHARDS)
def test_a_footer_changes_nothing_but_the_end(shard: Shard) -> None:
    footer = ShardFooter(b"k" * 32, 1_700_000_000, 1_800_000_000)
    body = write_shard(shard.files, shard.xorbs, footer)
    plain = write_shard(shard.files, shard.xorbs)
    assert len(body) == len(plain) + 200
    assert body[48:-200] == plain[48:]
    assert parse_shard(body) == shard
    assert parse_footer(body) == footer


def test_an_announced_footer_may_be_missing() -> None:
    body = bytearray(write_shard())
    body[40:48] = struct.pack("<Q", 200)
    assert parse_shard(body) == Shard([], [])
    with pytest.raises(XetFormatError):
        parse_footer(body)


def test_dedup_reply_hides_chunk_hashes(store: Store) -> None:
    key = bytes(range(32))
    body = dedup_shard(list(store.tables.items()), key, 1, 2)
    shard = parse_shard(body)
    assert shard.files == []
    assert [xorb.xorb_hash for xorb in shard.xorbs] == [store.first, store.second]
    table = store.tables[store.first]
    assert shard.xorbs[0].chunk_hash(3) == hmac_chunk_hash(table.hash_at(3), key)
    assert shard.xorbs[0].raw_sizes == (100,) * 5
    assert parse_footer(body).hmac_key == key
    with pytest.raises(XetFormatError):
        dedup_shard([], b"short", 1, 2)


def test_a_true_shard_is_believed(store: Store) -> None:
    assert check_file(store.file, store.table_of) == store.file.size_bytes == 500
    assert store.file.chunk_count == 5
    for name, table in store.tables.items():
        check_xorb_claim(ShardXorb.from_table(name, table), table)


def test_the_empty_file_is_believed(store: Store) -> None:
    assert check_file(ShardFile(bytes(32), [], []), store.table_of) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chunk_end": 6, "raw_bytes": 500}, "beyond the chunks"),
        ({"raw_bytes": 299}, "length differs"),
        ({"chunk_start": 0, "chunk_end": 3}, "verification hash"),
    ],
)
def test_a_false_term_is_refused(store: Store, change: dict[str, Any], message: str) -> None:
    terms = [dataclasses.replace(store.file.terms[0], **change), store.file.terms[1]]
    with pytest.raises(XetFormatError, match=message):
        check_file(dataclasses.replace(store.file, terms=terms), store.table_of)


def test_false_proofs_and_names_are_refused(store: Store) -> None:
    file = store.file
    assert file.verification is not None
    swapped = dataclasses.replace(file, verification=file.verification[::-1])
    with pytest.raises(XetFormatError, match="verification hash"):
        check_file(swapped, store.table_of)
    with pytest.raises(XetFormatError, match="without verification"):
        check_file(dataclasses.replace(file, verification=None), store.table_of)
    with pytest.raises(XetFormatError, match="instead"):
        check_file(dataclasses.replace(file, file_hash=b"x" * 32), store.table_of)
    missing = [dataclasses.replace(file.terms[0], xorb_hash=b"x" * 32), file.terms[1]]
    with pytest.raises(NotFound):
        check_file(dataclasses.replace(file, terms=missing), store.table_of)


def test_a_false_xorb_claim_is_refused(store: Store) -> None:
    table = store.tables[store.first]
    claim = ShardXorb.from_table(store.first, table)
    for lie in (
        dataclasses.replace(claim, chunk_hashes=claim.chunk_hashes[::-1]),
        dataclasses.replace(claim, raw_sizes=(99, 101, 100, 100, 100)),
        ShardXorb(store.first, claim.chunk_hashes[:32], (100,), 100, 0),
    ):
        with pytest.raises(XetFormatError, match="other chunks"):
            check_xorb_claim(lie, table)


def test_writing_refuses_numbers_that_do_not_fit() -> None:
    with pytest.raises(XetFormatError):
        write_shard([ShardFile(b"f" * 32, [ShardTerm(b"x" * 32, 2**32, 0, 1)])])
    with pytest.raises(XetFormatError):
        write_shard([ShardFile(b"f" * 32, [ShardTerm(b"x" * 32, 1, 0, 1)], [])])


HEADER = write_shard()[:48]
END = b"\xff" * 32 + bytes(16)


def record(*numbers: int) -> bytes:
    return b"x" * 32 + struct.pack("<4I", *numbers)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        HEADER[:-1],
        HEADER,
        HEADER + END,
        b"x" + HEADER[1:] + END * 2,
        HEADER[:32] + struct.pack("<QQ", 3, 0) + END * 2,
        # Files: counts beyond the end, reversed, empty, too long and too late chunk ranges.
        HEADER + record(0, 2**32 - 1, 0, 0) + END * 2,
        HEADER + record(1 << 31, 0xFFFFFF, 0, 0) + END * 2,
        HEADER + record(1 << 31, 1, 0, 0) + record(0, 9, 0, 1) + END,
        HEADER + record(1 << 30, 1, 0, 0) + record(0, 9, 0, 1) + END,
        HEADER + record(0, 1, 0, 0) + record(0, 9, 5, 5) + END * 2,
        HEADER + record(0, 1, 0, 0) + record(0, 9, 6, 5) + END * 2,
        HEADER + record(0, 1, 0, 0) + record(0, 0, 0, 1) + END * 2,
        HEADER + record(0, 1, 0, 0) + record(0, 131_073, 0, 1) + END * 2,
        HEADER + record(0, 1, 0, 0) + record(0, 9, 0, 8193) + END * 2,
        # Xorbs: no chunk, too many, too large, lengths and offsets that do not add up.
        HEADER + END + record(0, 0, 0, 0) + END,
        HEADER + END + record(0, 2**32 - 1, 0, 0) + END,
        HEADER + END + record(0, 8193, 8193, 0) + END,
        HEADER + END + record(0, 1, 9, 2**26 + 1) + record(0, 9, 0, 0) + END,
        HEADER + END + record(0, 1, 9, 0) + record(0, 8, 0, 0) + END,
        HEADER + END + record(0, 1, 9, 0) + record(1, 9, 0, 0) + END,
        HEADER + END + record(0, 1, 0, 0) + record(0, 0, 0, 0) + END,
        HEADER + END + record(0, 1, 131_073, 0) + record(0, 131_073, 0, 0) + END,
    ],
)
def test_malformed_shards_are_refused(body: bytes) -> None:
    with pytest.raises(XetFormatError):
        parse_shard(body)


def test_size_cap() -> None:
    body = write_shard()
    assert parse_shard(body, max_bytes=len(body)) == Shard([], [])
    with pytest.raises(XetFormatError, match="at most"):
        parse_shard(body, max_bytes=len(body) - 1)


@settings(max_examples=300)
@given(SHARDS, st.data())
def test_damaged_shards_raise_nothing_but_the_typed_error(shard: Shard, data: st.DataObject) -> None:
    body = write_shard(shard.files, shard.xorbs)
    where = data.draw(st.integers(0, len(body) - 1))
    junk = data.draw(st.binary(max_size=50))
    damaged = body[:where] + junk + body[where + data.draw(st.integers(0, 50)) :]
    with contextlib.suppress(XetFormatError):
        parse_shard(damaged)


def test_memory_of_a_shard_is_a_small_multiple_of_its_size() -> None:
    one = b"f" * 32 + struct.pack("<II8x", 0, 0)
    terms = struct.pack("<32s4I", b"x" * 32, 0, 70_000, 300, 301) * 40_000
    many = b"f" * 32 + struct.pack("<II8x", 0, 40_000) + terms
    for section in (one * 40_000, many):
        body = HEADER + section + END * 2
        tracemalloc.start()
        try:
            parse_shard(body)
            assert tracemalloc.get_traced_memory()[1] < 8 * len(body)
        finally:
            tracemalloc.stop()
