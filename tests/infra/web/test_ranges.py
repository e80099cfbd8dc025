"""Byte ranges as RFC 9110 has them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.core.errors import RangeNotSatisfiable
from llmos.infra.web.ranges import etag_matches, parse_range, range_applies


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-0", (0, 1)),
        ("bytes=5-", (5, 10)),
        ("bytes=2-100", (2, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-100", (0, 10)),
        ("Bytes = 1-2", (1, 3)),
        ("bytes=4-2", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=0-1,3-4", None),
        ("items=0-1", None),
        ("bytes=0-99999999999999999999999", None),
    ],
)
def test_a_range_is_cut_to_the_size_or_ignored(header, expected):
    assert parse_range(header, 10) == expected


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=10-", 10), ("bytes=0-", 0), ("bytes=-0", 10), ("bytes=-5", 0)]
)
def test_a_range_past_the_end_names_the_size(header, size):
    with pytest.raises(RangeNotSatisfiable) as refused:
        parse_range(header, size)
    assert refused.value.data["size_bytes"] == size


@given(st.text(max_size=40), st.integers(0, 2**60))
def test_no_header_gives_a_range_outside_the_content(header, size):
    try:
        found = parse_range(f"bytes={header}", size)
    except RangeNotSatisfiable:
        return
    assert found is None or 0 <= found.start < found.end <= size


def test_conditions_compare_etags():
    assert etag_matches('W/"a", "b"', "b")
    assert etag_matches("*", "b")
    assert not etag_matches('"c"', "b")
    assert range_applies(None, "a")
    assert range_applies('"a"', "a")
    assert not range_applies('"b"', "a")
    assert not range_applies("Sun, 22 Nov 2026 00:00:00 GMT", "a")
