"""Range plans, checked by carrying them out."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.core.errors import RangeNotSatisfiable
from llmos.infra.xet.chunks import ChunkTable
from llmos.infra.xet.codec import iter_raw_chunks
from llmos.infra.xet.hashes import to_hex
from llmos.infra.xet.ranges import plan_range, reconstruction_v1, reconstruction_v2
from llmos.infra.xet.shard import ShardTerm
from llmos.infra.xet.xorb import build_xorb


class Library:
    """Three xorbs whose chunks have uneven sizes."""

    def __init__(self) -> None:
        self.bodies: dict[bytes, bytes] = {}
        self.tables: dict[bytes, ChunkTable] = {}
        for number in range(3):
            chunks = [bytes([number * 16 + i]) * (i * 7 % 11 + 1) for i in range(12)]
            body, parsed = build_xorb(chunks)
            self.bodies[parsed.xorb_hash] = body
            self.tables[parsed.xorb_hash] = parsed.table()
        self.names = list(self.bodies)

    def term(self, number: int, start: int, end: int) -> ShardTerm:
        name = self.names[number]
        return ShardTerm(name, self.tables[name].raw_bytes(start, end), start, end)

    def read(self, term: ShardTerm) -> bytes:
        start, end = self.tables[term.xorb_hash].packed_range(term.chunk_start, term.chunk_end)
        return b"".join(iter_raw_chunks(self.bodies[term.xorb_hash][start:end]))


LIBRARY = Library()
TERMS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 11), st.integers(1, 12)).map(
        lambda t: LIBRARY.term(t[0], t[1], min(12, t[1] + t[2]))
    ),
    min_size=1,
    max_size=8,
)


@given(TERMS, st.data())
def test_a_plan_reads_exactly_the_range(terms: list[ShardTerm], data: st.DataObject) -> None:
    content = b"".join(LIBRARY.read(term) for term in terms)
    start = data.draw(st.integers(0, len(content) - 1))
    end = data.draw(st.integers(start + 1, len(content) + 50))
    plan = plan_range(terms, LIBRARY.tables.__getitem__, start, end)

    parts = []
    for term in plan.terms:
        packed = LIBRARY.bodies[term.xorb_hash][term.packed.byte_start : term.packed.byte_end]
        raw = b"".join(iter_raw_chunks(packed))
        assert len(raw) == term.raw_bytes
        parts.append(raw)
    skip = plan.offset_into_first_range
    assert b"".join(parts)[skip : skip + plan.length_bytes] == content[start:end]
    assert skip < LIBRARY.tables[plan.terms[0].xorb_hash][plan.terms[0].packed.chunk_start].raw_size

    for name, fetches in plan.fetches.items():
        for before, after in itertools.pairwise(fetches):
            assert before.chunk_end < after.chunk_start
        for term in plan.terms:
            if term.xorb_hash == name:
                assert any(
                    f.chunk_start <= term.packed.chunk_start
                    and term.packed.chunk_end <= f.chunk_end
                    and f.byte_start <= term.packed.byte_start
                    and term.packed.byte_end <= f.byte_end
                    for f in fetches
                )


@given(TERMS)
def test_a_plan_asks_only_for_the_xorbs_it_touches(terms: list[ShardTerm]) -> None:
    asked = []

    def table_of(name: bytes) -> ChunkTable:
        asked.append(name)
        return LIBRARY.tables[name]

    plan_range(terms, table_of, 0, 1)
    assert asked == [terms[0].xorb_hash]


@pytest.mark.parametrize(("start", "end"), [(5, None), (9, 20), (2, 2), (3, 1), (-1, 3)])
def test_ranges_without_a_byte_are_refused_with_416(start: int, end: int | None) -> None:
    terms = [ShardTerm(LIBRARY.names[0], 5, 0, 2)]
    with pytest.raises(RangeNotSatisfiable) as caught:
        plan_range(terms, LIBRARY.tables.__getitem__, start, end)
    assert caught.value.status == 416
    assert caught.value.data == {"size_bytes": 5}


def test_every_range_of_the_empty_file_is_refused() -> None:
    with pytest.raises(RangeNotSatisfiable):
        plan_range([], LIBRARY.tables.__getitem__)


def test_json_shapes() -> None:
    name = LIBRARY.names[0]
    table = LIBRARY.tables[name]
    terms = [LIBRARY.term(0, 2, 5), LIBRARY.term(0, 5, 7), LIBRARY.term(0, 9, 10)]
    plan = plan_range(terms, LIBRARY.tables.__getitem__, 1)

    def url_for(xorb: bytes, packed: object) -> str:
        return f"http://127.0.0.1/{to_hex(xorb)[:4]}"

    url = f"http://127.0.0.1/{to_hex(name)[:4]}"
    common = {
        "offset_into_first_range": 1,
        "terms": [
            {
                "hash": to_hex(name),
                "unpacked_length": term.raw_bytes,
                "range": {"start": term.chunk_start, "end": term.chunk_end},
            }
            for term in terms
        ],
    }
    spans = [((2, 7), table.packed_range(2, 7)), ((9, 10), table.packed_range(9, 10))]
    pairs = [({"start": c[0], "end": c[1]}, {"start": b[0], "end": b[1] - 1}) for c, b in spans]
    assert reconstruction_v1(plan, url_for) == common | {
        "fetch_info": {
            to_hex(name): [{"range": chunks, "url": url, "url_range": span} for chunks, span in pairs]
        }
    }
    assert reconstruction_v2(plan, url_for) == common | {
        "xorbs": {
            to_hex(name): [
                {"url": url, "ranges": [{"chunks": chunks, "bytes": span}]} for chunks, span in pairs
            ]
        }
    }
