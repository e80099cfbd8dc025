"""Every format gives the same rows; what is not readable is said with its place."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llmos.lab.data.errors import DataError
from llmos.lab.data.language import language_of
from llmos.lab.data.readers import iter_rows

ROWS = [
    {"text": "The people, of the “Union”.", "label": "a"},
    {"text": "床前明月光，\n疑是地上霜。", "label": "b"},
]


def write(path: Path, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def test_tables(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps(row) for row in ROWS)
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
    quoted = 'text,label\r\n"The people, of the “Union”.",a\r\n"床前明月光，\n疑是地上霜。",b\r\n'
    paths = [
        write(tmp_path / "rows.jsonl", lines),
        write(tmp_path / "rows.jsonl.gz", lines + "\n\n"),
        write(tmp_path / "lines.json", lines),
        write(tmp_path / "rows.json", json.dumps({"version": 1, "data": ROWS})),
        write(tmp_path / "rows.csv", "\ufeff" + quoted),
        write(tmp_path / "rows.csv.gz", quoted),
        tmp_path / "rows.parquet",
    ]
    for path in paths:
        assert list(iter_rows(path)) == ROWS, path


def test_text_by_document_paragraph_and_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "one\ntwo\n \n\nthree\r\n")
    texts: dict[Any, list[str]] = {
        unit: [row["text"] for row in iter_rows(path, unit=unit)]  # type: ignore[arg-type]
        for unit in ("document", "paragraph", "line")
    }
    assert texts["document"] == ["one\ntwo\n \n\nthree\n"]
    assert texts["paragraph"] == ["one\ntwo", "three"]
    assert texts["line"] == ["one", "two", "three"]
    utf16 = write(tmp_path / "b.txt", "詩".encode("utf-16"))
    assert [row["text"] for row in iter_rows(utf16, encoding="utf-16")] == ["詩"]


def record(kind: str, body: bytes, url: str = "http://a.example/") -> bytes:
    head = f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body + b"\r\n\r\n"


def test_web_archives(tmp_path: Path) -> None:
    head = "<html><head><title>no</title></head><body><h1>Title</h1>"
    page = f"{head}<script>x()</script><p>静夜 &amp; 思</p></body>"
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=gbk\r\n\r\n" + page.encode("gbk")
    picture = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n\x89PNG\x00"
    parts = [record("warcinfo", b"software: x"), record("response", answer), record("response", picture)]
    archive = tmp_path / "a.warc.gz"
    archive.write_bytes(b"".join(gzip.compress(part) for part in parts))
    assert list(iter_rows(archive)) == [{"text": "Title\n静夜 & 思", "url": "http://a.example/"}]
    wet = write(tmp_path / "a.wet", record("conversion", "Plain 文字".encode()))
    assert [row["text"] for row in iter_rows(wet)] == ["Plain 文字"]
    with pytest.raises(DataError, match="cut short within a record"):
        list(iter_rows(write(tmp_path / "cut.wet", record("conversion", b"x" * 90)[:-30])))
    with pytest.raises(DataError, match="no WARC record begins"):
        list(iter_rows(write(tmp_path / "not.warc", "hello\n")))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.txt", b"", r"is empty \(0 bytes\)"),
        ("picture.txt", b"\x89PNG\x00\x01", "is a binary file"),
        ("old.txt", "床前明月光".encode("gb18030"), "It may be gb18030: set data.encoding to gb18030"),
        ("a.jsonl", b'{"text": "x"}\n{"text": ', "line 2: not JSON"),
        ("b.jsonl", b"[1]\n", r"line 1: expected an object such as .* found list"),
        ("c.json", b"{", "not JSON"),
        ("d.csv", b"a,b\n1\n", "another number of fields than the header"),
        ("e.parquet", b"PAR1nope", "not a Parquet file"),
    ],
)
def test_unreadable_files(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    with pytest.raises(DataError, match=says):
        list(iter_rows(write(tmp_path / name, content)))


def test_gzip_and_absence(tmp_path: Path) -> None:
    (tmp_path / "a.txt.gz").write_bytes(b"no gzip at all")
    with pytest.raises(DataError, match="no gzip file"):
        list(iter_rows(tmp_path / "a.txt.gz"))
    cut = gzip.compress(b"x y z " * 50_000)
    (tmp_path / "b.txt.gz").write_bytes(cut[: len(cut) // 2] if len(cut) > 20_000 else cut[:-12])
    with pytest.raises(DataError, match="gzip"):
        list(iter_rows(tmp_path / "b.txt.gz"))
    with pytest.raises(DataError, match="no such file"):
        list(iter_rows(tmp_path / "gone.txt"))
    later = write(tmp_path / "later.jsonl", '{"text": "a"}\n{"body": "b"}\n')
    with pytest.raises(DataError, match=r'row 2, has no column "text"; its columns are: body'):
        list(iter_rows(later, columns=["text"]))
    with pytest.raises(DataError, match='knows no encoding "klingon"'):
        list(iter_rows(later, encoding="klingon"))


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The state of the union is strong, and we have work to do.", "en"),
        ("床前明月光，疑是地上霜。", "zh"),
        ("Windows 用户可以在 GitHub 页面下载最新的安装包。", "zh"),
        ("Le chat est sur la table et il mange une souris.", "other"),
        ("これはペンです。私は学生です。", "ja"),
        ("한국어 문장입니다.", "ko"),
        ("Это русский текст.", "other"),
        ("1234 --- 5678", "none"),
    ],
)
def test_languages(text: str, language: str) -> None:
    assert language_of(text) == language
