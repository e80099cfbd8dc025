"""What type to call other people's files when a browser may open them."""

from __future__ import annotations

_TEXT = "text/plain; charset=utf-8"
OCTETS = "application/octet-stream"

# Only types a browser shows without running anything; everything else is text or bytes.
_BY_ENDING = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "avif": "image/avif",
    "bmp": "image/bmp",
    "ico": "image/x-icon",
    "svg": "image/svg+xml",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "m4a": "audio/mp4",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "mov": "video/quicktime",
    "pdf": "application/pdf",
    "json": "application/json",
    "zip": "application/zip",
    "gz": "application/gzip",
}

# Sent with every user file: even if a browser took one for a page, it could do nothing.
USER_FILE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


def safe_media_type(file_name: str, *, is_text: bool) -> str:
    """The type to send a user's file as; never one that a browser would run as a page."""
    ending = file_name.rpartition(".")[2].lower()
    known = _BY_ENDING.get(ending)
    if known is not None:
        return known
    return _TEXT if is_text else OCTETS
