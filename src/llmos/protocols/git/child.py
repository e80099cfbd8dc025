"""One `git … --stateless-rpc` process between a request body and a response, in flat memory."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Send

from llmos.core.errors import BadRequest, LlmosError, TooLarge, Unavailable
from llmos.infra.git.process import git_environment
from llmos.infra.web.bodies import iter_body, wait_disconnect

MAX_PROCESSES = 64
_PIPE_BYTES = 1024 * 1024
_PIECE_BYTES = 256 * 1024
_MAX_STDERR_BYTES = 8 * 1024
_STOP_GRACE_S = 5.0
NO_CACHE = [
    (b"cache-control", b"no-cache, max-age=0, must-revalidate"),
    (b"expires", b"Fri, 01 Jan 1980 00:00:00 GMT"),
    (b"pragma", b"no-cache"),
]


class _Running:
    """How many git processes this web process has; module state because the limit is per process."""

    count = 0


class Output:
    """What git says, read straight from its pipe: asyncio's own reader copies every byte twice more."""

    def __init__(self) -> None:
        self._fd, self.child_fd = os.pipe()
        os.set_blocking(self._fd, False)
        # A larger pipe saves wake-ups; a refusal (limits for unprivileged users) costs only speed.
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):
                fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def close_child_end(self) -> None:
        if self.child_fd >= 0:
            os.close(self.child_fd)
            self.child_fd = -1

    def close(self) -> None:
        self.close_child_end()
        os.close(self._fd)

    async def read(self) -> bytes:
        """What has come so far, at least one byte; nothing at the end."""
        while True:
            try:
                return os.read(self._fd, _PIECE_BYTES)
            except BlockingIOError:
                await self._until_readable()

    async def _until_readable(self) -> None:
        loop = asyncio.get_running_loop()
        is_readable = asyncio.Event()
        loop.add_reader(self._fd, is_readable.set)
        try:
            await is_readable.wait()
        finally:
            loop.remove_reader(self._fd)


class GitChild:
    """A running git process; made by `git_child`.

    `is_committed` is set once refs may have moved: from then on a client that goes away no
    longer stops the process.
    """

    def __init__(self, process: asyncio.subprocess.Process, output: Output, *, ends_on_eof: bool) -> None:
        self.process = process
        self._output = output
        self.is_committed = False
        self.is_stopping = False
        self.stderr = b""
        self._ends_on_eof = ends_on_eof
        self._timers: list[asyncio.TimerHandle] = []

    async def feed(self, receive: Receive, *, gzipped: bool, limit_bytes: int | None) -> None:
        """Pass the request body to git, then wait for the client to go away.

        Ends normally only when it went away after `is_committed`; raises ClientDisconnect before.
        """
        stdin = self.process.stdin
        assert stdin is not None
        pieces = _unzipped(iter_body(receive)) if gzipped else iter_body(receive)
        total_bytes = 0
        is_open = True
        async for piece in pieces:
            total_bytes += len(piece)
            if limit_bytes is not None and total_bytes > limit_bytes:
                raise TooLarge(f"The request is larger than {limit_bytes} bytes.")
            if is_open:
                try:
                    stdin.write(piece)
                    await stdin.drain()
                except (BrokenPipeError, ConnectionResetError):
                    # Git has ended; the rest is read so that the client comes to read the answer.
                    is_open = False
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            stdin.close()
        await wait_disconnect(receive)
        if not self.is_committed:
            raise ClientDisconnect

    async def relay(self, send: Send, media_type: str, prefix: bytes = b"") -> bool:
        """Pass git's output to the client until its end; False if there was none at all."""
        has_started = False
        while piece := await self._output.read():
            if not has_started:
                has_started = True
                await start_response(send, media_type)
                piece = prefix + piece
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        return has_started

    async def drain_stderr(self) -> None:
        stderr = self.process.stderr
        assert stderr is not None
        while piece := await stderr.read(_MAX_STDERR_BYTES):
            self.stderr = (self.stderr + piece)[-_MAX_STDERR_BYTES:]

    def stop(self) -> None:
        """Make git end: first politely, then by force.

        A receiving git that meets the end of its input removes its quarantine folder; one that is
        killed leaves it to the next gc.
        """
        if self.is_stopping:
            return
        self.is_stopping = True
        if self._ends_on_eof and self.process.stdin is not None:
            self.process.stdin.close()
        else:
            self._signal(signal.SIGTERM)
        loop = asyncio.get_running_loop()
        self._timers = [
            loop.call_later(_STOP_GRACE_S, self._signal, signal.SIGTERM),
            loop.call_later(2 * _STOP_GRACE_S, self._signal, signal.SIGKILL),
        ]

    def _signal(self, kind: int) -> None:
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, kind)

    async def end(self) -> None:
        """Return when the process is gone."""
        try:
            if self.process.returncode is None:
                self.stop()
                await self.process.wait()
        finally:
            self._signal(signal.SIGKILL)
            for timer in self._timers:
                timer.cancel()


async def start_response(send: Send, media_type: str) -> None:
    headers = [(b"content-type", media_type.encode()), *NO_CACHE]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def end_response(send: Send) -> None:
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@asynccontextmanager
async def git_child(
    arguments: Sequence[str],
    *,
    protocol: str | None = None,
    environment: dict[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    ends_on_eof: bool = False,
) -> AsyncIterator[GitChild]:
    """Start `git <arguments>` in a process group of its own, and see to it that nothing of it stays.

    Raises Unavailable when MAX_PROCESSES run already.
    """
    if _Running.count >= MAX_PROCESSES:
        raise Unavailable("The server is busy with other clones and pushes: try again in a moment.")
    _Running.count += 1
    output = Output()
    try:
        env = git_environment() | (environment or {})
        if protocol:
            env["GIT_PROTOCOL"] = protocol
        process = await asyncio.create_subprocess_exec(
            "git",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=output.child_fd,
            stderr=asyncio.subprocess.PIPE,
            env=env,
            start_new_session=True,
            pass_fds=pass_fds,
            limit=_PIECE_BYTES,
        )
        output.close_child_end()
        child = GitChild(process, output, ends_on_eof=ends_on_eof)
        async with background(child.drain_stderr()):
            try:
                yield child
            finally:
                await child.end()
    finally:
        output.close()
        _Running.count -= 1


@asynccontextmanager
async def background(work: Any) -> AsyncIterator[asyncio.Task[None]]:
    """Run a coroutine beside the block and end it with the block."""
    task: asyncio.Task[None] = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()


async def _unzipped(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Undo `Content-Encoding: gzip` in bounded memory; BadRequest where it is damaged."""
    inflate = zlib.decompressobj(wbits=31)
    try:
        async for piece in pieces:
            data = inflate.decompress(piece, _PIECE_BYTES)
            while data:
                yield data
                data = inflate.decompress(inflate.unconsumed_tail, _PIECE_BYTES)
    except zlib.error as error:
        raise BadRequest("The request body is not the gzip data its Content-Encoding promises.") from error
    if not inflate.eof:
        raise BadRequest("The gzip data of the request body ends too early.")


def refusal_of(child: GitChild) -> LlmosError:
    """Why git ended without an answer: it could not make sense of the request."""
    lines = child.stderr.decode("utf-8", "replace").strip().splitlines()
    detail = lines[-1].removeprefix("fatal: ")[:300] if lines else "no reason given"
    return BadRequest(f"git could not understand the request: {detail}.")
