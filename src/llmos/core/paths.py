"""Paths of files inside a repository: validated once, at the edge."""

from __future__ import annotations

from llmos.core.errors import Unprocessable
from llmos.core.text import lazy

MAX_PATH_BYTES = 4096
MAX_SEGMENT_BYTES = 255
_FORBIDDEN_SEGMENTS = frozenset({"", ".", ".."})


def check_file_path(path: str, *, field: str = "path") -> str:
    """Return `path` unchanged if a file may be stored under it.

    Refused (Unprocessable, 422): empty, absolute or over-long paths, `.`/`..`/empty segments,
    backslashes, NUL and other control characters, any `.git` segment in any case (also as the
    NTFS short name or with trailing dots or spaces), and segments ending in a dot or a space,
    which a Windows checkout cannot hold.
    """
    if not path:
        raise Unprocessable(lazy("%(field)s is empty: name a file inside the repository.", field=field))
    if len(path.encode("utf-8", "surrogatepass")) > MAX_PATH_BYTES:
        raise Unprocessable(
            lazy("%(field)s is too long: at most %(limit)s bytes.", field=field, limit=MAX_PATH_BYTES)
        )
    if path.startswith("/"):
        raise Unprocessable(
            lazy("%(field)s %(path)r is absolute: leave out the leading '/'.", field=field, path=path)
        )
    if "\\" in path:
        raise Unprocessable(
            lazy("%(field)s %(path)r contains a backslash: separate folders by '/'.", field=field, path=path)
        )
    if any(ord(ch) < 32 or ord(ch) == 127 or 0xD800 <= ord(ch) <= 0xDFFF for ch in path):
        raise Unprocessable(lazy("%(field)s %(path)r contains a control character.", field=field, path=path))
    for segment in path.split("/"):
        _check_segment(segment, path, field)
    return path


def _check_segment(segment: str, path: str, field: str) -> None:
    if segment in _FORBIDDEN_SEGMENTS:
        raise Unprocessable(
            lazy("%(field)s %(path)r has an empty, '.' or '..' segment.", field=field, path=path)
        )
    bare = segment.rstrip(". ").lower()
    if bare in {".git", "git~1"}:
        raise Unprocessable(lazy("%(field)s %(path)r points into a '.git' folder.", field=field, path=path))
    if segment != segment.rstrip(". "):
        raise Unprocessable(
            lazy("%(field)s %(path)r: a segment may not end in a dot or a space.", field=field, path=path)
        )
    if len(segment.encode("utf-8")) > MAX_SEGMENT_BYTES:
        raise Unprocessable(
            lazy(
                "%(field)s %(path)r: a segment is longer than %(limit)s bytes.",
                field=field,
                path=path,
                limit=MAX_SEGMENT_BYTES,
            )
        )
