"""Paths of files inside a repository: validated once, at the edge."""

from __future__ import annotations

from llmos.core.errors import Unprocessable

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
        raise Unprocessable(f"{field} is empty: name a file inside the repository.")
    if len(path.encode("utf-8", "surrogatepass")) > MAX_PATH_BYTES:
        raise Unprocessable(f"{field} is too long: at most {MAX_PATH_BYTES} bytes.")
    if path.startswith("/"):
        raise Unprocessable(f"{field} {path!r} is absolute: leave out the leading '/'.")
    if "\\" in path:
        raise Unprocessable(f"{field} {path!r} contains a backslash: separate folders by '/'.")
    if any(ord(ch) < 32 or ord(ch) == 127 or 0xD800 <= ord(ch) <= 0xDFFF for ch in path):
        raise Unprocessable(f"{field} {path!r} contains a control character.")
    for segment in path.split("/"):
        _check_segment(segment, path, field)
    return path


def _check_segment(segment: str, path: str, field: str) -> None:
    if segment in _FORBIDDEN_SEGMENTS:
        raise Unprocessable(f"{field} {path!r} has an empty, '.' or '..' segment.")
    bare = segment.rstrip(". ").lower()
    if bare in {".git", "git~1"}:
        raise Unprocessable(f"{field} {path!r} points into a '.git' folder.")
    if segment != segment.rstrip(". "):
        raise Unprocessable(f"{field} {path!r}: a segment may not end in a dot or a space.")
    if len(segment.encode("utf-8")) > MAX_SEGMENT_BYTES:
        raise Unprocessable(f"{field} {path!r}: a segment is longer than {MAX_SEGMENT_BYTES} bytes.")
