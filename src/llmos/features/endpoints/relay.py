"""Calls for an engine that another web process of this machine reaches, over a socket in the home folder.

The process that reaches engines listens at `$LLMOS_HOME/run/NAME.sock`; only the hub's own user may
enter that folder. A connection carries one call: a line with the replica and the call there, frames back,
and its end is the end of the call.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

import orjson

from llmos.features.endpoints.errors import QueueFull
from llmos.features.endpoints.outlook import Outlook
from llmos.features.endpoints.streams import CallStream, Frame, Served
from llmos.features.endpoints.switchboard import Switchboard

_OPEN_LIMIT_S = 5.0
_MAX_LINE_BYTES = 64 * 1024 * 1024


def _folder(board: Switchboard) -> Path:
    folder = board.rt.settings.home / "run"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@contextlib.contextmanager
def _short_path(folder: Path, name: str) -> Any:
    """A name of the socket that is short enough for the system, however deep the folder lies."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}.sock"
    finally:
        os.close(descriptor)


async def listen(board: Switchboard) -> None:
    """Take calls of the other web processes from now on."""
    with _short_path(_folder(board), board.name) as path:
        server = await asyncio.start_unix_server(
            lambda reader, writer: _serve(board, reader, writer), path, limit=_MAX_LINE_BYTES
        )
    board.at_end.append(lambda: _close(board, server))


def _close(board: Switchboard, server: asyncio.Server) -> None:
    server.close()
    (_folder(board) / f"{board.name}.sock").unlink(missing_ok=True)


async def _serve(board: Switchboard, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    stream = CallStream()
    try:
        asked = orjson.loads(await reader.readline())
        engine = board.engines.get(asked["replica"])
        if engine is None or not engine.is_ready:
            return
        try:
            engine.submit(stream, asked["call"])
        except QueueFull as full:
            stream.fail(full.status, full.code, full.message, full.data)
        served = engine.served
        writer.write(orjson.dumps({"revision": served.revision, "facts": served.facts}) + b"\n")
        gone = asyncio.ensure_future(reader.read())
        gone.add_done_callback(lambda _: stream.close())
        try:
            while frames := await stream.batch():
                writer.write(b"".join(orjson.dumps(frame) + b"\n" for frame in frames))
                await writer.drain()
        finally:
            gone.cancel()
    except (OSError, orjson.JSONDecodeError, KeyError):
        return
    finally:
        stream.close()
        writer.close()


async def relay_to(board: Switchboard, outlook: Outlook, stream: CallStream, call: dict[str, Any]) -> bool:
    """Hand the call to the process that reaches the replica; False: that one is not there any more."""
    if board.rt.settings.web_workers == 1:
        return False
    try:
        with _short_path(_folder(board), outlook.holder) as path:
            opening = asyncio.open_unix_connection(path, limit=_MAX_LINE_BYTES)
            reader, writer = await asyncio.wait_for(opening, _OPEN_LIMIT_S)
    except (OSError, TimeoutError):
        return False
    writer.write(orjson.dumps({"replica": outlook.replica_id, "call": call}) + b"\n")
    head = await reader.readline()
    if not head:
        writer.close()
        return False
    found = orjson.loads(head)
    stream.served = Served(outlook.endpoint_id, outlook.repo_name, found["revision"], found["facts"])

    def count(ended: CallStream, last: Frame | None) -> None:
        board.meter.count(outlook.replica_id, ended, last)

    stream.on_end = count
    task = asyncio.create_task(_carry(reader, writer, stream))
    stream.cancel = writer.close
    board.run(task)
    return True


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stream: CallStream) -> None:
    with contextlib.suppress(OSError):
        while line := await reader.readline():
            stream.push(orjson.loads(line))
    if not stream.is_over:
        stream.fail(503, "engine_lost", "The web process that reached the engine has ended: try again.")
    writer.close()
