"""Hub protocol: the lines of JSON of a bucket's batch."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

from llmos.core.errors import BadRequest
from llmos.features.buckets.batch import MAX_OPERATIONS, DeleteFile, Operation, PutFile

_MAX_MTIME_MS = 253_402_300_799_000  # the end of the year 9999


def parse_batch(data: bytes) -> list[Operation]:
    """The operations of a batch; BadRequest names the line and the field that is wrong."""
    lines = [line for line in data.split(b"\n") if line.strip()]
    if len(lines) > MAX_OPERATIONS:
        raise BadRequest(f"A batch has at most {MAX_OPERATIONS} lines; {len(lines)} were sent.")
    return [_parse_line(number, line) for number, line in enumerate(lines, 1)]


def _parse_line(number: int, line: bytes) -> Operation:
    try:
        item = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"Line {number} of the batch is not valid JSON: {error.msg}.") from error
    if not isinstance(item, dict):
        raise BadRequest(f"Line {number} of the batch must be a JSON object.")
    kind = item.get("type")
    path = _text(item, "path", number)
    if kind == "deleteFile":
        return DeleteFile(path)
    if kind not in ("addFile", "copyFile"):
        raise BadRequest(f"type of line {number} must be addFile, copyFile or deleteFile.")
    source = None
    if kind == "copyFile":
        source = (_text(item, "sourceRepoType", number), _text(item, "sourceRepoId", number))
    content_type = item.get("contentType")
    if content_type is not None:
        content_type = _text(item, "contentType", number)[:200]
    return PutFile(path, _text(item, "xetHash", number), _mtime(item, number), content_type, source)


def _text(item: dict[str, Any], name: str, number: int) -> str:
    value = item.get(name)
    if not isinstance(value, str) or not value or "\0" in value:
        raise BadRequest(f"{name} of line {number} must be given as text.")
    return value


def _mtime(item: dict[str, Any], number: int) -> datetime | None:
    value = item.get("mtime")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_MTIME_MS:
        raise BadRequest(f"mtime of line {number} must be milliseconds since 1970.")
    return datetime.fromtimestamp(value / 1000, UTC)
