"""Static files under content-hashed URLs: `/-/static/<name>.<hash>.<ext>`, kept in memory.

`app.css` is every `css/*.css` and `app.js` every `static/js/*.js` joined in name order, so that
each component keeps its own file and a page needs one request. Each script of `static/js` is
wrapped in a block of its own: it imports and exports nothing.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from posixpath import dirname, join, normpath
from typing import Any

from llmos.infra.kept import kept

URL_PREFIX = "/-/static/"
_HERE = Path(__file__).parent
_HASH_CHARS = 10
_FOREVER = b"public, max-age=31536000, immutable"
_BRIEFLY = b"no-cache"
_TEXT_TYPES = ("text/", "image/svg+xml", "application/json")
_TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".woff2": "font/woff2",
    ".svg": "image/svg+xml",
}
_UNSERVED = {".md", ""}
_CSS_URL = re.compile(r"url\(([^)\"':]+)\)")
# Modules that name each other by relative addresses keep their own names; most carry a hash in them.
_OWN_NAME = ".mjs"
_NAMES_CONTENT = re.compile(r"-([0-9A-Z]{8})\.mjs$")
_HASHED = re.compile(r"^(?P<stem>.+)\.(?P<hash>[0-9a-f]{10})(?P<ext>\.[a-z0-9]+)$")

_extra_roots: list[Path] = []


@dataclass(frozen=True)
class StaticFile:
    """One file as served. `body_gzip` is None where compressing does not pay.

    Modules of a package (`.mjs`) are many and rarely asked for: they stay at `path`, with an empty
    `body`.
    """

    name: str
    url: str
    content_type: str
    body: bytes
    body_gzip: bytes | None
    etag: str
    path: Path | None = None


class UnknownAsset(KeyError):
    """A template or module asked for a static file that does not exist."""


def register_static(path: Path) -> None:
    """Add a folder of files; a feature keeps its own under `static/<feature>/...`."""
    if path not in _extra_roots:
        _extra_roots.append(path)
        manifest.cache_clear()


def asset(name: str) -> str:
    """The URL of a file, e.g. `asset("app.css")`. Raises UnknownAsset."""
    try:
        return manifest()[name].url
    except KeyError:
        raise UnknownAsset(f"no static file {name!r}") from None


def get_static_file(path: str) -> tuple[StaticFile, bool] | None:
    """The file behind a URL path below URL_PREFIX, and whether its hash is the current one."""
    if path.endswith(_OWN_NAME):
        module = manifest().get(path)
        return (module, _NAMES_CONTENT.search(path) is not None) if module else None
    match = _HASHED.match(path)
    if not match:
        return None
    file = manifest().get(match["stem"] + match["ext"])
    return (file, file.url == URL_PREFIX + path) if file else None


@lru_cache(maxsize=1)
def manifest() -> dict[str, StaticFile]:
    """Every static file by name; built on first use, then constant for the process."""
    bodies: dict[str, bytes] = {}
    files: dict[str, StaticFile] = {}
    for root in (_HERE / "static", *_extra_roots):
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.suffix == _OWN_NAME:
                files[name] = _module(name, path)
            elif path.is_file() and path.suffix not in _UNSERVED:
                bodies[name] = path.read_bytes()
    bodies["app.css"] = _join_styles(_HERE / "css")
    bodies["app.js"] = _join_scripts(_HERE / "static" / "js")
    # Styles come last: they name fonts and images by hashed URL.
    for name in sorted(bodies, key=lambda name: (name.endswith(".css"), name)):
        body = bodies[name]
        if name.endswith(".css"):
            body = _hash_urls(name, body, files)
        files[name] = _build(name, body)
    return files


def _module(name: str, path: Path) -> StaticFile:
    # Three megabytes in a hundred files: those that carry a hash in their name are not read for another.
    named = _NAMES_CONTENT.search(name)
    digest = named[1] if named else hashlib.sha256(path.read_bytes()).hexdigest()[:_HASH_CHARS]
    return StaticFile(
        name, URL_PREFIX + name, "text/javascript; charset=utf-8", b"", None, f'"{digest}"', path
    )


@lru_cache(maxsize=16)
def _read_module(path: Path) -> tuple[bytes, bytes]:
    body = path.read_bytes()
    return body, gzip.compress(body, 6, mtime=0)


def _build(name: str, body: bytes) -> StaticFile:
    digest = hashlib.sha256(body).hexdigest()[:_HASH_CHARS]
    stem, _, extension = name.rpartition(".")
    content_type = _TYPES.get(f".{extension}") or mimetypes.guess_type(name)[0]
    content_type = content_type or "application/octet-stream"
    compressed = None
    if content_type.startswith(_TEXT_TYPES):
        content_type += "; charset=utf-8"
        packed = name.replace("/", "-") + ".gz"
        compressed = kept(packed, body, lambda: gzip.compress(body, 9, mtime=0))
    url = f"{URL_PREFIX}{stem}.{digest}.{extension}"
    return StaticFile(name, url, content_type, body, compressed, f'"{digest}"')


def _join_styles(folder: Path) -> bytes:
    text = "\n".join(path.read_text("utf-8") for path in sorted(folder.glob("*.css")))
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"\s*\n\s*", "\n", text)
    return re.sub(r"\s*([{};,])\s*", r"\1", text).strip().encode()


def _join_scripts(folder: Path) -> bytes:
    parts = [f"{{\n{path.read_text('utf-8')}}}\n" for path in sorted(folder.glob("*.js"))]
    return "".join(parts).encode()


def _hash_urls(name: str, body: bytes, files: dict[str, StaticFile]) -> bytes:
    def replace(match: re.Match[str]) -> str:
        target = normpath(join(dirname(name), match[1]))
        if target not in files:
            raise UnknownAsset(f"{name} names {match[1]!r}, which is not a static file")
        return f"url({files[target].url})"

    return _CSS_URL.sub(replace, body.decode()).encode()


Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def static_app(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI app for everything below URL_PREFIX; answers GET and HEAD.

    A URL with the current hash may be kept forever; one with an outdated hash gets the current
    content, not to be kept, so that pages opened before an upgrade go on working.
    """
    if scope["method"] not in ("GET", "HEAD"):
        await _respond(scope, send, 405, [(b"allow", b"GET, HEAD")], b"")
        return
    found = get_static_file(scope["path"].removeprefix(URL_PREFIX))
    if found is None:
        await _respond(scope, send, 404, [(b"content-type", b"text/plain")], b"Not found\n")
        return
    file, is_current = found
    request = dict(scope["headers"])
    headers = [
        (b"etag", file.etag.encode()),
        (b"cache-control", _FOREVER if is_current else _BRIEFLY),
        (b"x-content-type-options", b"nosniff"),
        (b"vary", b"accept-encoding"),
        # A sandboxed frame has no origin of its own and loads its modules as a stranger.
        (b"access-control-allow-origin", b"*"),
    ]
    if request.get(b"if-none-match") == file.etag.encode():
        await _respond(scope, send, 304, headers, b"")
        return
    body, body_gzip = _read_module(file.path) if file.path else (file.body, file.body_gzip)
    headers.append((b"content-type", file.content_type.encode()))
    if body_gzip is not None and b"gzip" in request.get(b"accept-encoding", b""):
        body = body_gzip
        headers.append((b"content-encoding", b"gzip"))
    await _respond(scope, send, 200, headers, body)


async def _respond(
    scope: Scope, send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    if status != 304:
        headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
