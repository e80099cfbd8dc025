"""Canonical JSON: one text for one value, and a reader that is not fooled."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.records.canonical import MAX_DEPTH, canonical, digest, parse, plain
from llmos.records.errors import RecordError

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_written_reads_back_and_is_written_alike(value: Any) -> None:
    raw = canonical(value)
    assert parse(raw, name="x") == value
    assert canonical(parse(raw, name="x")) == raw


@settings(max_examples=30)
@given(st.dictionaries(TEXT, VALUES, max_size=6), st.randoms())
def test_order_of_keys_does_not_matter(value: dict[str, Any], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert digest(dict(items)) == digest(value)


def test_the_text_itself() -> None:
    value = {"b": [1, 1.0, 1e-7, True, None], "a": {"z": "唐诗\n", "": '"'}}
    assert canonical(value) == '{"a":{"":"\\"","z":"唐诗\\n"},"b":[1,1.0,1e-07,true,null]}'.encode()


@pytest.mark.parametrize("value", [math.nan, math.inf, {1: "a"}, {None: 1}, b"raw", "\ud800", [{True: 1}]])
def test_values_without_a_text_are_refused(value: Any) -> None:
    with pytest.raises(RecordError):
        canonical(value)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a": 1, "a": 2}', b"[NaN]", b"[Infinity]", b"[1e999]", b"\xff", b"", b"{", b"[" * 100_000,
        b'{"a":' * 5000 + b"1" + b"}" * 5000, b"1" * 10_000, b'["' + b"[" * 200,
    ],
)  # fmt: skip
def test_json_that_cannot_be_used_is_refused(raw: bytes) -> None:
    with pytest.raises(RecordError, match="x"):
        parse(raw, name="x")


def test_depth_counts_brackets_outside_strings_only() -> None:
    assert parse(json.dumps({"a": "[" * 500}).encode(), name="x") == {"a": "[" * 500}
    deep: Any = 1
    for _ in range(MAX_DEPTH):
        deep = [deep]
    assert parse(json.dumps(deep).encode(), name="x") == deep
    with pytest.raises(RecordError, match="deep"):
        parse(json.dumps([deep]).encode(), name="x")
    with pytest.raises(RecordError, match="deep"):
        canonical([[deep]])


def test_values_of_data_files_become_plain() -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    row = {"n": math.nan, "i": -math.inf, "b": b"\x00", "t": at, "l": (1, [2.5]), "d": {1: None}}
    plain_row = {
        "n": "NaN", "i": "-Infinity", "b": "AA==", "t": "2026-03-01T00:00:00+00:00", "l": [1, [2.5]],
        "d": {"1": None},
    }  # fmt: skip
    assert plain(row) == plain_row
    assert plain(plain_row) == plain_row
