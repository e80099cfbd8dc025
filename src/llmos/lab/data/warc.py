"""Text out of web archives: WARC (pages as fetched) and WET (pages as plain text).

Only what training needs: `conversion` and `resource` records as they are, `response` records of
HTML with the markup taken off. Format: WARC 1.1, ISO 28500.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import IO

from llmos.lab.data.errors import DataError

MAX_RECORD_BYTES = 32 * 1024 * 1024
_UNSHOWN = {"script", "style", "noscript", "template", "svg", "head"}
_BLOCKS = {
    "p", "div", "br", "li", "ul", "ol", "tr", "table", "section", "article", "header", "footer",
    "blockquote", "pre", "h1", "h2", "h3", "h4", "h5", "h6", "dt", "dd", "main", "aside", "nav",
}  # fmt: skip
_CHARSET = re.compile(rb"charset=[\"']?([A-Za-z0-9_-]+)", re.I)


@dataclass(frozen=True)
class Record:
    """One record with its headers (names in lower case)."""

    headers: dict[str, str]
    body: bytes

    @property
    def url(self) -> str:
        return self.headers.get("warc-target-uri", "").strip("<>")

    def text(self) -> str:
        """The plain text of the page, or "" when the record holds none."""
        kind = self.headers.get("warc-type", "")
        if kind == "conversion":
            return self.body.decode("utf-8", "replace").strip()
        if kind != "response":
            return ""
        head, _, page = self.body.partition(b"\r\n\r\n")
        if b" 200" not in head[:16] or b"text/html" not in head.lower():
            return ""
        if b"content-encoding:" in head.lower():
            return ""
        return html_text(_decode(page, head))


def iter_records(file: IO[bytes], name: str) -> Iterator[Record]:
    """All records of an unzipped archive in their order.

    Raises DataError where the file is no WARC, is cut short, or a record is over 32 MiB.
    """
    while True:
        line = file.readline(1024)
        while line in (b"\r\n", b"\n"):
            line = file.readline(1024)
        if not line:
            return
        if not line.startswith(b"WARC/"):
            raise DataError(f"{name}: no WARC record begins where one should ({line[:40]!r}).")
        headers = _headers(file, name)
        length = headers.get("content-length", "")
        if not length.isdigit() or int(length) > MAX_RECORD_BYTES:
            raise DataError(f'{name}: a record has the content length "{length}"; 0 to 32 MiB is read.')
        body = file.read(int(length))
        if len(body) < int(length):
            raise DataError(f"{name}: the archive is cut short within a record.")
        yield Record(headers, body)


def _headers(file: IO[bytes], name: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    while (line := file.readline(65_536)) not in (b"\r\n", b"\n"):
        if not line:
            raise DataError(f"{name}: the archive is cut short within the headers of a record.")
        key, _, value = line.decode("utf-8", "replace").partition(":")
        headers[key.strip().lower()] = value.strip()
    return headers


def _decode(page: bytes, head: bytes) -> str:
    found = _CHARSET.search(head) or _CHARSET.search(page[:2048])
    encoding = found.group(1).decode() if found else "utf-8"
    # Pages that call themselves GB2312 use characters only its superset has.
    encoding = "gb18030" if encoding.lower() in {"gb2312", "gbk"} else encoding
    try:
        return page.decode(encoding, "replace")
    except LookupError:
        return page.decode("utf-8", "replace")


def html_text(page: str) -> str:
    """The shown text of an HTML page, one block a line."""
    parser = _Text()
    parser.feed(page)
    parser.close()
    lines = (" ".join(line.split()) for line in "".join(parser.parts).split("\n"))
    return "\n".join(line for line in lines if line)


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unshown = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNSHOWN:
            self._unshown += 1
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNSHOWN:
            self._unshown = max(0, self._unshown - 1)
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._unshown:
            self.parts.append(data)
