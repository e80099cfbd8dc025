"""Request bodies of any size: to a file, hashed on the way, or into memory under a limit."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from llmos.core.errors import BadRequest, LlmosError, TooLarge, Unprocessable
from llmos.core.text import lazy

IDLE_TIMEOUT_S = 300.0
_BATCH_BYTES = 1024 * 1024
_MAX_PENDING_BYTES = 8 * _BATCH_BYTES
_SYNC_EVERY_BYTES = 64 * 1024 * 1024
_MAX_VECTOR = 512  # half of what Linux takes in one call


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A body that lies, fsynced, in a temporary file."""

    path: Path
    size_bytes: int
    sha256: str


async def receive_message(receive: Receive, timeout_s: float = IDLE_TIMEOUT_S) -> Any:
    """The next ASGI body message. ClientDisconnect when the client is gone; 408 when it sleeps."""
    try:
        # Cheaper than wait_for, which makes a task per message: bodies arrive in small pieces.
        async with asyncio.timeout(timeout_s):
            message = await receive()
    except TimeoutError as error:
        raise LlmosError(
            lazy("The request body stopped arriving for %(timeout_s)g seconds.", timeout_s=timeout_s),
            status=408,
            code="RequestTimeout",
        ) from error
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message


async def wait_disconnect(receive: Receive) -> None:
    """Return when the client has gone; only for use after the whole body was read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def iter_body(receive: Receive, timeout_s: float = IDLE_TIMEOUT_S) -> AsyncIterator[bytes]:
    """The pieces of the body as they arrive; raises as `receive_message` does."""
    more = True
    while more:
        message = await receive_message(receive, timeout_s)
        more = message.get("more_body", False)
        if piece := message.get("body", b""):
            yield piece


async def read_body(receive: Receive, *, limit_bytes: int, what: str = "The request body") -> bytes:
    """A small body in memory; TooLarge as soon as it exceeds the limit."""
    data = bytearray()
    async for piece in iter_body(receive):
        data += piece
        if len(data) > limit_bytes:
            raise TooLarge(
                lazy("%(what)s is larger than %(limit_bytes)s bytes.", what=what, limit_bytes=limit_bytes)
            )
    return bytes(data)


def check_content_length(headers: Mapping[str, str], expected_bytes: int) -> None:
    """Refuse before reading when the announced length is already wrong."""
    announced = headers.get("content-length")
    if announced is None:
        return
    if not announced.isdecimal() or len(announced) > 18:
        raise BadRequest(lazy("Content-Length must be a whole number of bytes."))
    if int(announced) != expected_bytes:
        raise _wrong_length(int(announced), expected_bytes)


def _wrong_length(got_bytes: int, expected_bytes: int) -> Unprocessable:
    return Unprocessable(
        lazy(
            "The body is %(got_bytes)s bytes long; exactly %(expected_bytes)s were announced.",
            got_bytes=got_bytes,
            expected_bytes=expected_bytes,
        )
    )


class _Lane:
    """Handles batches in order in a thread of the pool, which it holds only while there is work.

    The lanes of one body run apart: hashing, which is the slowest, never waits for the disk.
    """

    def __init__(self, handle: Callable[[list[bytes]], None]) -> None:
        self._handle = handle
        self._lock = threading.Lock()  # over the three below, which the thread changes, too
        self._batches: deque[tuple[list[bytes], int]] = deque()
        self._waiting_bytes = 0
        self._is_running = False
        self._failure: OSError | MemoryError | None = None
        self._job: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._has_room = asyncio.Event()

    def push(self, batch: list[bytes], count: int) -> None:
        """Hand a batch over; raises what an earlier one failed with."""
        with self._lock:
            if self._failure is not None:
                raise self._failure
            self._batches.append((batch, count))
            self._waiting_bytes += count
            starts, self._is_running = not self._is_running, True
        if starts:
            self._job = _in_thread(self._drain)

    def _drain(self) -> None:
        while True:
            with self._lock:
                if not self._batches:
                    self._is_running = False
                    return
                batch, count = self._batches.popleft()
            try:
                self._handle(batch)
            except (OSError, MemoryError) as error:
                with self._lock:
                    self._failure, self._is_running = error, False
                    self._batches.clear()
                self._loop.call_soon_threadsafe(self._has_room.set)
                return
            with self._lock:
                self._waiting_bytes -= count
                is_low = self._waiting_bytes < _MAX_PENDING_BYTES // 2
            if is_low and not self._has_room.is_set():
                self._loop.call_soon_threadsafe(self._has_room.set)

    async def wait_for_room(self) -> None:
        """Return when little waits here, or when the thread has failed."""
        with self._lock:
            if self._failure is not None or self._waiting_bytes < _MAX_PENDING_BYTES:
                return
            self._has_room.clear()
        await self._has_room.wait()

    async def settle(self) -> None:
        """Return when everything was handled; raise what the thread failed with."""
        if self._job is not None:
            await self._job
        if self._failure is not None:
            raise self._failure


class _Sink:
    """Writes and hashes, each in a lane, while the event loop receives the next pieces."""

    def __init__(self, fd: int, offset: int) -> None:
        self._fd = fd
        self._offset = offset
        self._hash = hashlib.sha256()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._unsynced_bytes = 0
        self._lanes = (_Lane(self._digest), _Lane(self._write))
        self._sync: asyncio.Future[None] | None = None

    async def add(self, piece: bytes) -> None:
        self._pending.append(piece)
        self._pending_bytes += len(piece)
        if self._pending_bytes >= _BATCH_BYTES:
            self._push()
            for lane in self._lanes:
                await lane.wait_for_room()

    def _push(self) -> None:
        batch, count = self._pending, self._pending_bytes
        self._pending, self._pending_bytes = [], 0
        for lane in self._lanes:
            lane.push(batch, count)
        self._unsynced_bytes += count
        # Writing back early leaves little for the final fsync to wait for.
        if self._unsynced_bytes >= _SYNC_EVERY_BYTES and (self._sync is None or self._sync.done()):
            self._unsynced_bytes = 0
            self._sync = _in_thread(os.fdatasync, self._fd)

    def _digest(self, batch: list[bytes]) -> None:
        for piece in batch:
            self._hash.update(piece)

    def _write(self, batch: list[bytes]) -> None:
        for start in range(0, len(batch), _MAX_VECTOR):
            pieces = batch[start : start + _MAX_VECTOR]
            written = os.pwritev(self._fd, pieces, self._offset)
            self._offset += written
            rest = memoryview(b"".join(pieces))[written:] if written < sum(map(len, pieces)) else b""
            while rest:
                written = os.pwrite(self._fd, rest, self._offset)
                self._offset += written
                rest = rest[written:]

    async def finish(self) -> str:
        self._push()
        await self.settle()
        await _in_thread(os.fsync, self._fd)
        return self._hash.hexdigest()

    async def settle(self) -> None:
        """Wait for what is under way: the descriptor must not be closed under a thread."""
        failures = []
        for work in (*(lane.settle() for lane in self._lanes), self._sync):
            if work is not None:
                try:
                    await work
                except OSError as error:
                    failures.append(error)
        if failures:
            raise failures[0]


def _in_thread(fn: Any, *args: Any) -> asyncio.Future[None]:
    future = asyncio.ensure_future(asyncio.to_thread(fn, *args))
    # A failure nobody awaits any more, because another came first, is not news.
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future


async def receive_into(receive: Receive, fd: int, *, expected_bytes: int, offset: int = 0) -> str:
    """Write the body at `offset` of an open file, fsync it, and return its SHA-256 in hex.

    Raises Unprocessable if the body is not exactly `expected_bytes` long (as soon as it is
    known), ClientDisconnect or 408 when it does not arrive whole.
    """
    sink = _Sink(fd, offset)
    got_bytes = 0
    try:
        async for piece in iter_body(receive):
            got_bytes += len(piece)
            if got_bytes > expected_bytes:
                raise _wrong_length(got_bytes, expected_bytes)
            await sink.add(piece)
        if got_bytes != expected_bytes:
            raise _wrong_length(got_bytes, expected_bytes)
        return await sink.finish()
    finally:
        with contextlib.suppress(OSError):
            await asyncio.shield(sink.settle())


@asynccontextmanager
async def received_file(
    receive: Receive, tmp_root: Path, *, expected_bytes: int
) -> AsyncIterator[ReceivedFile]:
    """The body in a temporary file that is removed at the end unless it was moved away."""
    path = tmp_root / f"up-{os.getpid()}-{secrets.token_hex(8)}"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    try:
        try:
            sha256 = await receive_into(receive, fd, expected_bytes=expected_bytes)
        finally:
            os.close(fd)
        yield ReceivedFile(path, expected_bytes, sha256)
    finally:
        path.unlink(missing_ok=True)
