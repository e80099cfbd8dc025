"""What is shown of a file's inside: bounded, and calm about damage."""

from __future__ import annotations

import io
import json
import struct

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.features.repos.cards.memory import memory_bytes
from llmos.features.repos.pages.labels import language_label, short_count, task_label
from llmos.features.repos.pages.previews import MAX_ROWS, Preview, preview_file
from llmos.features.repos.pages.views import summary_of


def show(path: str, data: bytes, *, as_text: bool = False) -> Preview:
    return preview_file(
        lambda offset, length: data[offset : offset + length], path, len(data), as_text=as_text
    )


def test_comma_and_tab_separated_values_become_tables() -> None:
    found = show("a.csv", b'name;note\nada;"a, b"\n')
    assert found.table is not None
    assert (found.table.columns, found.table.rows) == (["name", "note"], [["ada", "a, b"]])
    assert show("a.tsv", b"a\tb\n1\t2\n").kind == "table"
    assert show("a.csv", b"a,b\n1,2\n", as_text=True).kind == "text"


def test_long_tables_are_cut() -> None:
    found = show("a.csv", b"n\n" + b"1\n" * 100_000)
    assert found.table is not None
    assert len(found.table.rows) == MAX_ROWS
    assert found.table.is_cut


def test_json_lines_are_a_table_only_if_every_line_is_an_object() -> None:
    found = show("a.jsonl", b'{"a": 1}\n{"b": [1]}\n')
    assert found.table is not None
    assert found.table.columns == ["a", "b"]
    assert found.table.rows == [["1", ""], ["", "[1]"]]
    assert show("a.jsonl", b'{"a": 1}\nnot json\n').kind == "text"


def test_one_line_json_is_laid_out() -> None:
    found = show("a.json", json.dumps({"a": [1, 2]}).encode())
    assert found.code is not None
    assert len(found.code.lines) > 3


def test_parquet_shows_its_first_rows() -> None:
    out = io.BytesIO()
    pq.write_table(pa.table({"text": ["好", "b"] * 300, "n": range(600)}), out)
    found = show("a.parquet", out.getvalue())
    assert found.table is not None
    assert found.table.row_count == 600
    assert found.table.rows[0] == ["好", "0"]
    assert list(found.table.types) == ["string", "int64"]


@pytest.mark.parametrize("data", [b"PAR1", b"PAR1" + bytes(40), b"PAR1" + b"\xff" * 8 + b"PAR1"])
def test_damaged_parquet_is_said_to_be(data: bytes) -> None:
    assert show("a.parquet", data).problem == "damaged"


def test_safetensors_list_their_tensors() -> None:
    header = json.dumps({"w": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}}).encode()
    found = show("m.safetensors", struct.pack("<Q", len(header)) + header + bytes(12))
    assert found.kind == "tensors"
    assert found.extra["total"] == 6
    assert found.table is not None
    assert found.table.rows == [["w", "BF16", "2 × 3", "6"]]
    assert "does not fit" in show("m.safetensors", struct.pack("<Q", 900) + b"{}").problem


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=400),
    st.sampled_from(["csv", "tsv", "jsonl", "json", "parquet", "safetensors", "gguf", "txt", "md"]),
)
def test_no_content_breaks_a_preview(data: bytes, suffix: str) -> None:
    assert show(f"a.{suffix}", data).kind


def test_missing_bytes_and_empty_files_are_told_apart() -> None:
    assert preview_file(None, "a.bin", 10).problem == "missing"
    assert show("a.txt", b"").kind == "empty"
    assert show("a.bin", b"\0\1").kind == "binary"


def test_words_for_numbers_and_codes() -> None:
    assert [short_count(n) for n in (999, 7_240_000_000, 124_000_000)] == ["999", "7.2B", "124M"]
    assert task_label("text-generation", "zh") == "文本生成"
    assert task_label("something-new", "en") == "Something new"
    assert language_label("zh", "en") == "Chinese"
    assert language_label("nlp", "en") is None
    assert memory_bytes({"BF16": 1_000_000}) == 2_400_000
    assert memory_bytes({"NEW": 1}) == 0


def test_summary_is_the_first_prose() -> None:
    text = "# Title\n\n[![badge](x)](y)\n\n| a |\n\nA **small** model, see [here](x).\nSecond line.\n\nMore."
    assert summary_of(text) == "A small model, see here. Second line."
    assert summary_of("# Only a title\n") == ""
