"""Jupyter notebooks to safe HTML: text, coloured code and the outputs kept in the file.

Nothing in a notebook is run. HTML goes through the allow-list of Markdown and loses what it would
fetch from elsewhere; pictures, SVG too, are shown as pictures, in which nothing can run.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote

from markupsafe import Markup, escape

from llmos.ui.highlight import highlight_snippet
from llmos.ui.markdown import Rendered, render_html, render_markdown

MAX_CELLS = 400
MAX_OUTPUTS = 40
MAX_TEXT_CHARS = 20_000
MAX_IMAGE_CHARS = 3_000_000
MAX_IMAGES_CHARS = 12_000_000
_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_ANSI = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07?|.)?")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")
_ATTACHMENT = re.compile(r"attachment:([^\s()\"'<>]{1,200})")
_PLACE = "/-/notebook-attachment/"


_EMPTY = Markup("")


class NotebookError(ValueError):
    """The file is no notebook this renderer can read."""


@dataclass(frozen=True)
class Output:
    """`html` is safe; `kind` is text, error, rich or note (`text`: what could not be shown)."""

    kind: Literal["text", "error", "rich", "note"]
    html: Markup = _EMPTY
    text: str = ""


@dataclass(frozen=True)
class Cell:
    kind: Literal["markdown", "code", "raw"]
    html: Markup
    count: int | None = None
    outputs: Sequence[Output] = ()


@dataclass(frozen=True)
class Notebook:
    cells: Sequence[Cell]
    language: str
    has_math: bool
    has_diagram: bool
    is_truncated: bool


def render_notebook(text: str, *, base_url_for_links: str = "", image_base: str = "") -> Notebook:
    """Safe cells of an untrusted `.ipynb` of format 3 or 4; bases as for `render_markdown`.

    Beyond MAX_CELLS, MAX_OUTPUTS a cell and MAX_IMAGES_CHARS of pictures nothing is shown and
    `is_truncated` is set. Raises NotebookError.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotebookError("not JSON") from error
    if not isinstance(data, dict):
        raise NotebookError("not an object")
    cells = _list(data.get("cells"))
    if not cells:
        cells = [cell for sheet in _list(data.get("worksheets")) for cell in _list(_dict(sheet).get("cells"))]
    metadata = _dict(data.get("metadata"))
    language = _text(_dict(metadata.get("language_info")).get("name")) or "python"
    reader = _Reader(language[:40], base_url_for_links, image_base)
    shown = [reader.cell(_dict(cell)) for cell in cells[:MAX_CELLS]]
    is_truncated = reader.is_truncated or len(cells) > MAX_CELLS
    return Notebook(shown, language[:40], reader.has_math, reader.has_diagram, is_truncated)


class _Reader:
    def __init__(self, language: str, link_base: str, image_base: str) -> None:
        self.language = language
        self.link_base = link_base
        self.image_base = image_base
        self.has_math = False
        self.has_diagram = False
        self.is_truncated = False
        self.images_left = MAX_IMAGES_CHARS
        self.part_count = 0

    def cell(self, cell: dict[str, Any]) -> Cell:
        source = _text(cell.get("source", cell.get("input")))
        kind = cell.get("cell_type")
        if kind in ("markdown", "heading"):
            level = cell.get("level")
            is_heading = kind == "heading" and isinstance(level, int) and 1 <= level <= 6
            prefix = "#" * int(level or 0) + " " if is_heading else ""
            return Cell("markdown", self._markdown(prefix + source, _dict(cell.get("attachments"))))
        if kind != "code":
            return Cell("raw", escape(source[:MAX_TEXT_CHARS]))
        count = cell.get("execution_count", cell.get("prompt_number"))
        outputs = _list(cell.get("outputs"))
        self.is_truncated |= len(outputs) > MAX_OUTPUTS
        return Cell(
            "code",
            highlight_snippet(source, self.language),
            count if isinstance(count, int) and 0 <= count < 10**9 else None,
            [self._output(_dict(output)) for output in outputs[:MAX_OUTPUTS]],
        )

    def _keep(self, rendered: Rendered) -> str:
        self.has_math |= rendered.has_math
        self.has_diagram |= rendered.has_diagram
        self.is_truncated |= rendered.is_truncated
        return rendered.html

    def _markdown(self, text: str, attachments: dict[str, Any]) -> Markup:
        pictures: list[Markup] = []
        self.part_count += 1

        def name_place(match: re.Match[str]) -> str:
            bundle = _dict(attachments.get(unquote(match[1])))
            pictures.append(next(filter(None, (self._source(bundle, kind) for kind in _IMAGES)), Markup("")))
            return f"{_PLACE}{len(pictures) - 1}/"

        html = self._keep(
            render_markdown(
                _ATTACHMENT.sub(name_place, text),
                heading_ids=False,
                scope=f"part-{self.part_count}",
                base_url_for_links=self.link_base,
                image_base=self.image_base,
            )
        )
        for number, picture in enumerate(pictures):
            html = html.replace(f'src="{_PLACE}{number}/"', f'src="{picture}"')
        return Markup(html)

    def _output(self, output: dict[str, Any]) -> Output:
        kind = output.get("output_type")
        if kind == "stream":
            return Output("text", self._plain(output.get("text")))
        if kind in ("error", "pyerr"):
            trace = "\n".join(_text(line) for line in _list(output.get("traceback"))[:200])
            words = trace or f"{_text(output.get('ename'))}: {_text(output.get('evalue'))}"
            return Output("error", self._plain(words))
        # Format 3 keeps the representations beside the other fields, under short names.
        data = _dict(output.get("data")) or {_long_name(name): value for name, value in output.items()}
        return self._bundle(data)

    def _bundle(self, data: dict[str, Any]) -> Output:
        if data.get("text/html"):
            html = render_html(_text(data["text/html"])[: 20 * MAX_TEXT_CHARS], self.link_base)
            if html.strip():
                return Output("rich", Markup('<div class="markdown">{}</div>').format(Markup(html)))
        for kind in ("image/svg+xml", *_IMAGES):
            if kind in data:
                source = self._source(data, kind)
                return (
                    Output("rich", Markup('<img src="{}" alt="">').format(source)) if source else _note(kind)
                )
        if data.get("text/markdown"):
            text = self._markdown(_text(data["text/markdown"]), {})
            return Output("rich", Markup('<div class="markdown">{}</div>').format(text))
        if data.get("text/latex"):
            self.has_math = True
            formula = _text(data["text/latex"])[:MAX_TEXT_CHARS].strip().strip("$")
            maths = Markup('<div class="markdown"><div class="math math-block">{}</div></div>')
            return Output("rich", maths.format(formula))
        if "text/plain" in data:
            return Output("text", self._plain(data["text/plain"]))
        kinds = sorted(name for name in data if "/" in name)
        return _note(", ".join(kinds)[:200])

    def _plain(self, value: Any) -> Markup:
        text = _ANSI.sub("", _text(value))
        self.is_truncated |= len(text) > MAX_TEXT_CHARS
        return escape(_CONTROL.sub("", text[:MAX_TEXT_CHARS]))

    def _source(self, bundle: dict[str, Any], kind: str) -> Markup:
        """A picture as the `data:` address of an `<img>`; empty if it is none."""
        text = _text(bundle.get(kind))
        if not text or len(text) > MAX_IMAGE_CHARS or len(text) > self.images_left:
            self.is_truncated |= bool(text)
            return Markup("")
        self.images_left -= len(text)
        data = b""
        if kind == "image/svg+xml":
            data = text.encode("utf-8", "replace")
        elif _BASE64.fullmatch(text):
            try:
                data = base64.b64decode(text)
            except ValueError:
                data = b""
        encoded = base64.b64encode(data).decode()
        return Markup("data:{};base64,{}").format(kind, encoded) if data else Markup("")


def _note(kinds: str) -> Output:
    return Output("note", text=kinds)


def _long_name(name: str) -> str:
    short = {"text": "text/plain", "html": "text/html", "svg": "image/svg+xml", "png": "image/png"}
    return short.get(name, {"jpeg": "image/jpeg", "latex": "text/latex"}.get(name, name))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    """A multi-line string as notebooks keep them: one string, or a list of lines."""
    if isinstance(value, list):
        value = "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""
