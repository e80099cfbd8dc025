"""Hub protocol: the newline-delimited JSON of a commit, read line by line in bounded memory."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

import orjson

from llmos.core.errors import BadRequest, TooLarge
from llmos.features.repos.commits import CommitDraft

_PATH_AT = re.compile(rb'"path"\s*:\s*("(?:[^"\\]|\\.){1,4096}")')


class LineSplitter:
    """Cuts a byte stream into lines of at most `max_line_bytes`; TooLarge beyond."""

    def __init__(self, max_line_bytes: int, hint: str) -> None:
        self._max_bytes = max_line_bytes
        self._hint = hint
        self._held = bytearray()
        self.line_number = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that are complete now, blank ones left out."""
        *whole, rest = chunk.split(b"\n")
        lines = []
        for part in whole:
            self._add(part)
            lines.append(bytes(self._held))
            self._held.clear()
        self._add(rest)
        return [line for line in lines if line.strip()]

    def finish(self) -> list[bytes]:
        """The last line, which needs no newline."""
        line = bytes(self._held)
        self._held.clear()
        return [line] if line.strip() else []

    def _add(self, part: bytes) -> None:
        self._held += part
        if len(self._held) > self._max_bytes:
            match = _PATH_AT.search(self._held[:8192]) or _PATH_AT.search(self._held[-8192:])
            name = match[1].decode("utf-8", "replace") if match else "A file"
            self._held.clear()
            raise TooLarge(f"{name} is too large for a commit: {self._hint}")


class CommitReader:
    """Feeds the body of a commit request into a draft."""

    def __init__(self, draft: CommitDraft, regular_limit_bytes: int) -> None:
        self._draft = draft
        limit = f"regular files may have {regular_limit_bytes} bytes"
        hint = f"{limit}; upload it as a large file (LFS or Xet) instead."
        # A UTF-8 content may be escaped, at most six bytes for one.
        self._lines = LineSplitter(regular_limit_bytes * 2 + 64 * 1024, hint)
        self._count = 0
        self._has_header = False

    def feed(self, chunk: bytes) -> None:
        for line in self._lines.feed(chunk):
            self._take(line)

    def finish(self) -> None:
        for line in self._lines.finish():
            self._take(line)
        if not self._has_header:
            raise BadRequest("The commit has no header: send it as the first line.")

    def _take(self, line: bytes) -> None:
        self._count += 1
        try:
            item = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise BadRequest(f"Line {self._count} of the commit is not valid JSON: {error.msg}.") from error
        value = item.get("value") if isinstance(item, dict) else None
        if not isinstance(value, dict):
            raise BadRequest(f'Line {self._count} of the commit must look like {{"key": …, "value": {{…}}}}.')
        self._apply(item.get("key"), value)

    def _apply(self, key: object, value: dict[str, Any]) -> None:
        if key == "header":
            if self._has_header:
                raise BadRequest("The commit has two headers: send one, as the first line.")
            self._has_header = True
            summary, about = _text(value, "summary", key), _optional(value, "description", key)
            self._draft.set_header(summary, about or "", _optional(value, "parentCommit", key))
            return
        if not self._has_header:
            raise BadRequest("The first line of a commit must be its header.")
        if key == "file":
            path = _text(value, "path", key)
            self._draft.add_file(path, _content(value, path), _optional(value, "oldPath", key))
        elif key == "lfsFile":
            self._add_large(value)
        elif key == "deletedFile":
            self._draft.delete_file(_text(value, "path", key))
        elif key == "deletedFolder":
            self._draft.delete_folder(_text(value, "path", key))
        else:
            raise BadRequest(
                f"Line {self._count} of the commit has the unknown key {str(key)[:40]!r}: use header, file, "
                "lfsFile, deletedFile or deletedFolder."
            )

    def _add_large(self, value: dict[str, Any]) -> None:
        path = _text(value, "path", "lfsFile")
        algo = value.get("algo", "sha256")
        if algo not in ("sha256", "sha_256"):
            raise BadRequest(f"lfsFile.algo of {path!r} must be sha256.")
        size = value.get("size")
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size >= 2**63):
            raise BadRequest(f"lfsFile.size of {path!r} must be a number of bytes.")
        oid = _text(value, "oid", "lfsFile")
        self._draft.add_large(path, oid, size, _optional(value, "oldPath", "lfsFile"))


def _text(value: dict[str, Any], name: str, key: object) -> str:
    text = value.get(name)
    if not isinstance(text, str):
        raise BadRequest(f"{key}.{name} must be given as text.")
    return text


def _optional(value: dict[str, Any], name: str, key: object) -> str | None:
    text = value.get(name)
    if text is not None and not isinstance(text, str):
        raise BadRequest(f"{key}.{name} must be text.")
    return text


def _content(value: dict[str, Any], path: str) -> bytes:
    text = _text(value, "content", "file")
    encoding = value.get("encoding", "utf-8")
    if encoding == "base64":
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadRequest(f"file.content of {path!r} is not valid base64.") from error
    if encoding not in ("utf-8", "utf8"):
        raise BadRequest(f"file.encoding of {path!r} must be 'base64' or 'utf-8'.")
    return text.encode()
