"""Notebooks: what is shown, what is bounded, what is refused."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from llmos.ui.notebook import MAX_CELLS, NotebookError, render_notebook

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()


def code(*outputs: dict[str, Any], source: str = "x = 1") -> dict[str, Any]:
    return {"cell_type": "code", "execution_count": 3, "source": source, "outputs": list(outputs)}


def data(**kinds: Any) -> dict[str, Any]:
    named = {key.replace("__", "/").replace("_plus_", "+"): value for key, value in kinds.items()}
    return {"output_type": "display_data", "data": named}


def render(*cells: dict[str, Any], **metadata: Any) -> Any:
    return render_notebook(json.dumps({"nbformat": 4, "metadata": metadata, "cells": cells}))


def output_of(output: dict[str, Any]) -> Any:
    return render(code(output)).cells[0].outputs[0]


def test_cells_are_text_and_coloured_code() -> None:
    text = {"cell_type": "markdown", "source": ["# Title\n", "with $x$"]}
    notebook = render(text, code(source="import os"), language_info={"name": "python"})
    assert "<h1>Title</h1>" in notebook.cells[0].html
    assert '<span class="kn">import</span>' in notebook.cells[1].html
    assert (notebook.cells[1].count, notebook.has_math) == (3, True)


def test_outputs_are_text_errors_tables_and_pictures() -> None:
    stream = output_of({"output_type": "stream", "text": ["a\n", "\x1b[31mred\x1b[0m <b>"]})
    assert (stream.kind, stream.html) == ("text", "a\nred &lt;b&gt;")
    error = output_of({"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["line <1>"]})
    assert (error.kind, error.html) == ("error", "line &lt;1&gt;")
    table = output_of(data(text__html="<style>x</style><table><tr><td>1</td></tr></table>"))
    assert "<td>1</td>" in table.html
    assert "style" not in table.html
    assert f'src="data:image/png;base64,{PIXEL}"' in output_of(data(image__png=PIXEL)).html
    svg = output_of(data(image__svg_plus_xml="<svg onload=alert(1)/>")).html
    assert svg.startswith('<img src="data:image/svg+xml;base64,')


def test_html_that_is_only_script_gives_way_to_the_plain_text() -> None:
    shown = output_of(data(text__html="<script>draw()</script>", text__plain="Figure(…)"))
    assert (shown.kind, shown.html) == ("text", "Figure(…)")
    assert output_of(data(application__vnd="{}")).kind == "note"


def test_html_fetches_nothing() -> None:
    html = output_of(data(text__html='<p>a</p><img src="https://x.example/a.png"><video src="/b">')).html
    assert "x.example" not in html
    assert "/b" not in html


def test_an_attachment_is_shown_where_it_is_named() -> None:
    attachments = {"a.png": {"image/png": PIXEL}, "b.png": {"text/html": "<script>"}}
    cell = {"cell_type": "markdown", "source": "![one](attachment:a.png) ![two](attachment:b.png)"}
    html = render(cell | {"attachments": attachments}).cells[0].html
    assert f'src="data:image/png;base64,{PIXEL}"' in html
    assert "script" not in html


def test_format_3_is_read() -> None:
    cells = [
        {"cell_type": "heading", "level": 2, "source": "Old"},
        {"cell_type": "code", "input": "1", "outputs": [{"output_type": "pyout", "text": ["1"]}]},
    ]
    notebook = render_notebook(json.dumps({"nbformat": 3, "worksheets": [{"cells": cells}]}))
    assert "<h2>Old</h2>" in notebook.cells[0].html
    assert notebook.cells[1].outputs[0].html == "1"


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 100_000, '"x"'])
def test_what_is_no_notebook_is_refused(text: str) -> None:
    with pytest.raises(NotebookError):
        render_notebook(text)


@pytest.mark.parametrize(
    "cell",
    [
        None,
        7,
        {},
        {"cell_type": "code", "outputs": {"a": 1}, "source": 3, "execution_count": "x"},
        {"cell_type": "markdown", "source": [1, None, "text"], "attachments": []},
        {"cell_type": "heading", "level": [], "source": "h"},
        code({"output_type": "display_data", "data": {"image/png": {"a": 1}, "text/html": [3]}}),
        code({"output_type": "error", "traceback": 4}),
    ],
)
def test_odd_cells_are_survived(cell: Any) -> None:
    assert len(render_notebook(json.dumps({"cells": [cell]})).cells) == 1


def test_large_notebooks_are_cut() -> None:
    notebook = render(*[code() for _ in range(MAX_CELLS + 1)])
    assert (len(notebook.cells), notebook.is_truncated) == (MAX_CELLS, True)
    assert render(code({"output_type": "stream", "text": "x" * 100_000})).is_truncated
