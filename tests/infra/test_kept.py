"""What is kept between starts is what would be made anew."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from llmos.features.repos.pages.connect import connect_snippets
from llmos.features.repos.pages.snippets import Snippet
from llmos.infra.kept import kept


def test_it_is_made_once_for_each_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    calls: list[bytes] = []

    def ask(source: bytes) -> bytes:
        return kept("a.txt", source, lambda: calls.append(source) or source.upper(), tmp_path)

    assert [ask(b"one"), ask(b"one"), ask(b"two"), ask(b"one")] == [b"ONE", b"ONE", b"TWO", b"ONE"]
    assert calls == [b"one", b"two", b"one"], "the newest source alone is kept"
    (tmp_path / "a.txt").write_bytes(b"half a file")
    assert ask(b"one") == b"ONE"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_that_cannot_be_written_costs_time_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert kept("a.txt", b"one", lambda: b"ONE", blocked) == b"ONE"
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert kept("a.txt", b"one", lambda: b"ONE", tmp_path) == b"ONE"
    assert not (tmp_path / "a.txt").exists()


@pytest.mark.parametrize("address", ["http://127.0.0.1:8642", "https://hub.example.org", 'http://a"<b>'])
def test_examples_of_the_home_page_are_coloured_as_any_other(address: str) -> None:
    for snippet in connect_snippets(address):
        usual = Snippet(snippet.name, snippet.code, snippet.language).highlighted
        text = "\n".join(snippet.highlighted.lines)
        assert address in snippet.code
        if '"' not in address:
            assert text == "\n".join(usual.lines)
        assert "<b>" not in text
