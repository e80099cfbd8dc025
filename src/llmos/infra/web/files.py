"""Answer with stored bytes: whole or one range, from a local file or from an object store."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from llmos.core.errors import Unavailable
from llmos.core.text import lazy
from llmos.infra.blobs.store import ObjectStore
from llmos.infra.web.bodies import wait_disconnect
from llmos.infra.web.ranges import ByteRange, etag_matches, parse_range, range_applies

PIECE_BYTES = 256 * 1024
_HAS_NOWAIT = hasattr(os, "RWF_NOWAIT")


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes to send: in a file of this machine (`path`), in memory (`data`), or to be had piece by
    piece (`stream`).

    With both, the file is a copy that may go at any time. `etag` is without quotes. The content under
    one etag never changes.
    """

    size_bytes: int
    etag: str | None = None
    path: Path | None = None
    stream: Callable[[int, int], Iterator[bytes]] | None = None
    data: bytes | None = None


def object_content(objects: ObjectStore, key: str, size_bytes: int, etag: str | None = None) -> Content:
    return Content(
        size_bytes=size_bytes,
        etag=etag,
        path=objects.local_path(key),
        stream=lambda start, end: objects.stream(key, start, end),
    )


def content_disposition(kind: str, name: str) -> str:
    """`inline; filename*=UTF-8''…; filename="…";` for any file name, in the Hub's form."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\;' else "_" for c in name)
    return f"{kind}; filename*=UTF-8''{quote(name, safe='')}; filename=\"{plain}\";"


class ContentResponse(Response):
    """Sends a `Content` as the request asks: HEAD, one `Range`, `If-Range`, `If-None-Match`.

    Never compressed. Raises RangeNotSatisfiable when made, Unavailable before the first byte when
    the file is missing; a failure later only closes the connection.
    """

    def __init__(
        self,
        request: Request,
        content: Content,
        *,
        headers: Mapping[str, str] | None = None,
        media_type: str = "application/octet-stream",
    ) -> None:
        asked = request.headers
        self._content = content
        self._is_head = request.method == "HEAD"
        span = None
        if range_applies(asked.get("if-range"), content.etag):
            span = parse_range(asked.get("range"), content.size_bytes)
        self._range = span or ByteRange(0, content.size_bytes)
        fields = {"accept-ranges": "bytes"}
        if content.etag is not None:
            fields["etag"] = f'"{content.etag}"'
        if headers:
            fields.update(headers)
        status = 206 if span else 200
        if etag_matches(asked.get("if-none-match"), content.etag):
            status = 304
        else:
            fields["content-length"] = str(self._range.length_bytes)
        if status == 206:
            fields["content-range"] = self._range.content_range(content.size_bytes)
        super().__init__(None, status, fields, media_type=media_type)
        if status == 304:
            del self.headers["content-type"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._is_head or self.status_code == 304 or self._range.length_bytes == 0:
            await self._start(send)
            await send({"type": "http.response.body", "body": b""})
        elif self._content.data is not None:
            await self._start(send)
            start, end = self._range
            await send({"type": "http.response.body", "body": self._content.data[start:end]})
        elif self._content.path is not None:
            await self._send_path(self._content.path, scope, receive, send)
        else:
            await self._send_stream(receive, send)

    async def _start(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

    async def _send_path(self, path: Path, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            if self._content.stream is None:
                raise _bytes_missing() from error
            # A cached copy made room for another since it was found.
            await self._send_stream(receive, send)
            return
        try:
            if os.fstat(fd).st_size < self._range.end:
                raise _bytes_missing()
            await self._start(send)
            extensions = scope.get("extensions") or {}
            if self.status_code == 200 and "http.response.pathsend" in extensions:
                await send({"type": "http.response.pathsend", "path": str(path)})
                return
            with contextlib.suppress(OSError):
                os.posix_fadvise(fd, self._range.start, self._range.length_bytes, os.POSIX_FADV_SEQUENTIAL)
            async with _watched(receive) as check_present:
                await self._send_pieces(fd, send, check_present)
        finally:
            os.close(fd)

    async def _send_pieces(self, fd: int, send: Send, check_present: Callable[[], None]) -> None:
        start, end = self._range
        while start < end:
            check_present()
            count = min(PIECE_BYTES, end - start)
            piece = _read_cached(fd, count, start)
            if piece is None:
                piece = await asyncio.to_thread(os.pread, fd, count, start)
            if not piece:
                raise _bytes_missing()
            start += len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": start < end})

    async def _send_stream(self, receive: Receive, send: Send) -> None:
        assert self._content.stream is not None
        start, end = self._range
        pieces = self._content.stream(start, end)
        try:
            # The first piece is fetched before the status line: a missing object is still a 503.
            piece = await asyncio.to_thread(next, pieces, None)
        except FileNotFoundError as error:
            raise _bytes_missing() from error
        await self._start(send)
        async with _watched(receive) as check_present:
            while piece is not None:
                check_present()
                start += len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": start < end})
                piece = await asyncio.to_thread(next, pieces, None)
        if start != end:
            raise _bytes_missing()


def _bytes_missing() -> Unavailable:
    return Unavailable(
        lazy("The stored bytes of this file cannot be read: tell the operator to run a check.")
    )


def _read_cached(fd: int, count: int, offset: int) -> bytes | None:
    """The piece if its last byte lies in memory already; None where reading would wait for the disk."""
    if not _HAS_NOWAIT:
        return None
    try:
        if not os.preadv(fd, [bytearray(1)], offset + count - 1, os.RWF_NOWAIT):
            return None
    except OSError:
        return None
    return os.pread(fd, count, offset)


@asynccontextmanager
async def _watched(receive: Receive) -> AsyncIterator[Callable[[], None]]:
    """Gives a check that raises ClientDisconnect once the client is gone.

    Servers may swallow what is sent to a closed connection, so a sender must listen, too.
    """
    gone = asyncio.ensure_future(wait_disconnect(receive))

    def check_present() -> None:
        if gone.done():
            raise ClientDisconnect

    try:
        yield check_present
    finally:
        gone.cancel()
