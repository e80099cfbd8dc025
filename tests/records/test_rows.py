"""Rows of data files: the same row has the same digest, whatever file it lies in."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llmos.records.digests import lock_digest, row_digest
from llmos.records.errors import RecordError
from llmos.records.model_files import get_role
from llmos.records.rows import list_data_files, read_rows, row_digests

ROWS = [
    {"id": 1, "text": "静夜思\n", "tags": ["a", "b"], "score": 0.5},
    {"id": 2, "text": "", "tags": [], "score": 1e-9},
]


def test_a_row_is_the_same_in_every_format(tmp_path: Path) -> None:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
    (tmp_path / "a.jsonl").write_text(lines, encoding="utf-8")
    (tmp_path / "b.json").write_text(json.dumps({"data": ROWS}), encoding="utf-8")
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(("\ufeff" + lines + "\n").encode()))
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "d.parquet")
    expected = {row_digest(row) for row in ROWS}
    for path in list_data_files(tmp_path):
        assert row_digests(path) == expected, path.name
        assert list(read_rows(path)) == ROWS


def test_values_that_json_lacks_come_from_parquet_as_text(tmp_path: Path) -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    row = {"nan": [float("nan"), float("-inf")], "raw": b"\x00\x01", "at": at, "none": None, "in": {"b": 1}}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    (found,) = read_rows(tmp_path / "a.parquet")
    assert found == {
        "nan": ["NaN", "-Infinity"], "raw": "AAE=", "at": at.isoformat(), "none": None, "in": {"b": 1},
    }  # fmt: skip
    assert row_digest(found) == row_digest(row)


def test_text_is_known_whole_by_paragraph_and_by_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("一\r\n二\r\n\r\n三".encode())
    found = [row["text"] for row in read_rows(tmp_path / "a.txt")]
    assert found[0] == "一\n二\n\n三"
    assert set(found[1:]) == {"一\n二", "一", "二", "三"}


def test_tables_without_types_are_text(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("q\ta\n1\t\n", encoding="utf-8")
    assert list(read_rows(tmp_path / "a.tsv")) == [{"q": "1", "a": ""}]


def test_which_files_hold_data(tmp_path: Path) -> None:
    for name in ("data/b.jsonl", "data/a.parquet", ".cache/c.jsonl", "eval.yaml", "image.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    found = [path.relative_to(tmp_path).as_posix() for path in list_data_files(tmp_path)]
    assert found == ["data/a.parquet", "data/b.jsonl"]
    assert list_data_files(tmp_path / "data/b.jsonl") == [tmp_path / "data/b.jsonl"]
    for place in (tmp_path / "none", tmp_path / ".cache" / "none"):
        with pytest.raises(RecordError):
            list_data_files(place)


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("model-00001-of-00002.safetensors", "weights"), ("model.safetensors.index.json", "weights"),
        ("pytorch_model.bin", "weights"), ("tiny.gguf", "weights"), ("adapter_model.bin", "weights"),
        ("tokenizer.model", "tokenizer"), ("spiece.model", "tokenizer"), ("merges.txt", "tokenizer"),
        ("tokenizer_config.json", "tokenizer"), ("chat_template.jinja", "chat template"),
        ("additional_chat_templates/tool.jinja", "chat template"), ("generation_config.json", "settings"),
        ("modeling_tiny.py", "code"), ("README.md", None), ("training_args.bin", None),
        ("checkpoint-10/model.safetensors", None), ("optimizer.bin", None), ("trainer_state.json", None),
    ],
)  # fmt: skip
def test_what_each_file_of_a_model_is_for(path: str, role: str | None) -> None:
    assert get_role(path) == role


def test_the_order_of_packages_does_not_matter() -> None:
    assert lock_digest({"b": "2", "a": "1"}) == lock_digest({"a": "1", "b": "2"})
    assert lock_digest({"a": "1"}) != lock_digest({"a": "1.0"})
