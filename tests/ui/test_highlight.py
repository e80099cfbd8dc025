"""Code with colours: line for line the file, nothing executed, big things plain."""

from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.ui.highlight import MAX_HIGHLIGHT_LINE_CHARS, MAX_LINES, highlight_file, highlight_snippet


def plain(html: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", html))


def test_code_is_coloured_by_filename() -> None:
    code = highlight_file('def f():\n    return """a\nb"""\n', "src/f.py")
    assert code.language == "Python"
    assert len(code.lines) == 3
    assert '<span class="k">def</span>' in code.lines[0]
    for line in code.lines:
        assert line.count("<span") == line.count("</span>")


@settings(max_examples=150, deadline=None)
@given(
    st.text(alphabet=st.characters(exclude_characters="\ufeff", exclude_categories=["Cs"]), max_size=200),
    st.sampled_from(["a.py", "b.json", "c.md", "d.yaml", "e.html", "f.c", "g.sh", "none", "h.tsx"]),
)
def test_the_lines_are_those_of_the_file(text: str, filename: str) -> None:
    expected = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if expected[-1] == "":
        expected.pop()
    assert [plain(line) for line in highlight_file(text, filename).lines] == expected


@pytest.mark.parametrize("filename", ["x.py", "unknown.zzz"])
def test_markup_in_code_is_escaped(filename: str) -> None:
    assert "<script" not in "".join(highlight_file("x = '<script>alert(1)</script>'", filename).lines)
    assert "<script" not in highlight_snippet("<script>", "html")


def test_large_files_are_plain_and_cut() -> None:
    assert highlight_file("x" * (MAX_HIGHLIGHT_LINE_CHARS + 1), "a.py").language is None
    code = highlight_file("x\n" * (MAX_LINES + 5), "a.txt")
    assert code.is_truncated
    assert len(code.lines) == MAX_LINES
