"""The channel of an engine: between its pair of sockets and a WebSocket that this runner opens.

The runner asks the hub, never the other way round: it may sit behind any router. While the WebSocket
is away the engine stays; the calls under way are canceled in it, as the hub has given them up.
"""

from __future__ import annotations

import contextlib
import json
import logging
import random
import socket
import threading
from typing import Any

from llmos.client.runner_api import RunnerApi

log = logging.getLogger("llmos.runner")

_READ_BYTES = 256 * 1024
_FIRST_WAIT_S, _MAX_WAIT_S = 0.1, 5.0
_OPEN_LIMIT_S = 20.0
# The hub closes with this when the engine is wanted no more.
STOP_CODE = 4001
# What a hub that hears of this engine again has to know.
_KEPT = ("stage", "ready", "load", "failed")
_LAST = (b'"done"', b'"result"', b'"error"')


class EngineBridge:
    """`child` is the engine's end, for its process; call `start` when that has begun, at last `close`."""

    def __init__(self, api: RunnerApi, job_id: str, lease: str) -> None:
        self._api, self._job_id, self._lease = api, job_id, lease
        self._own, self.child = socket.socketpair()
        self._web: Any = None
        self._kept: dict[str, bytes] = {}
        self._under_way: set[int] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """The child has its end: carry lines to and fro from now on."""
        self.child.close()
        for target in (self._carry_up, self._keep_open):
            thread = threading.Thread(target=target, name=f"channel-{self._job_id[:8]}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """End both directions. May be called without `start`."""
        self._stop.set()
        with contextlib.suppress(OSError):
            self._own.shutdown(socket.SHUT_RDWR)
        self.child.close()
        web = self._web
        if web is not None:
            web.close()
        for thread in self._threads:
            thread.join(5)
        self._own.close()

    def _carry_up(self) -> None:
        """Engine to hub; whole lines only, as many as there are in one message."""
        rest = b""
        while True:
            try:
                data = self._own.recv(_READ_BYTES)
            except OSError:
                data = b""
            if not data:
                break
            lines, newline, rest = (rest + data).rpartition(b"\n")
            if newline:
                self._note_up(lines)
                self._send(lines)
        self._stop.set()
        web = self._web
        if web is not None:
            web.close()

    def _note_up(self, lines: bytes) -> None:
        if any(word in lines for word in _LAST) or any(b'"%s"' % w.encode() in lines for w in _KEPT):
            for line in lines.split(b"\n"):
                found = _parse(line)
                if "id" in found:
                    if found.get("event") in ("done", "result", "error"):
                        self._under_way.discard(found["id"])
                elif found.get("event") in _KEPT:
                    self._kept[found["event"]] = line

    def _send(self, lines: bytes) -> None:
        from websockets.exceptions import ConnectionClosed

        with self._lock:
            web = self._web
            if web is None:
                return  # the hub hears what matters when it is there again
            with contextlib.suppress(ConnectionClosed, OSError):
                web.send(lines)

    def _keep_open(self) -> None:
        from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException

        wait_s = _FIRST_WAIT_S
        while not self._stop.is_set():
            try:
                self._carry_down()
                wait_s = _FIRST_WAIT_S
            except InvalidStatus as error:
                log.warning("job %s: the hub does not open a channel: %s", self._job_id, error)
            except (OSError, InvalidHandshake, WebSocketException) as error:
                log.info("job %s: no channel: %s", self._job_id, error)
            self._stop.wait(wait_s * random.uniform(0.7, 1.3))
            wait_s = min(wait_s * 2, _MAX_WAIT_S)

    def _carry_down(self) -> None:
        """Open the WebSocket, then hub to engine until it closes."""
        from websockets.exceptions import ConnectionClosed
        from websockets.sync.client import connect

        address, headers = self._api.channel(self._job_id, self._lease)
        with connect(
            address,
            additional_headers=headers,
            compression=None,
            max_size=None,
            open_timeout=_OPEN_LIMIT_S,
            close_timeout=2,
        ) as web:
            with self._lock:
                kept = b"\n".join(self._kept.values())
                self._web = web
                if kept:
                    web.send(kept)
            if self._stop.is_set():
                return
            try:
                for message in web:
                    self._pass_down(message.encode() if isinstance(message, str) else bytes(message))
            except ConnectionClosed:
                pass
            finally:
                self._web = None
                self._cancel_all()
            if web.close_code == STOP_CODE:
                # The engine ends when nobody can speak to it any more.
                self._stop.set()
                with contextlib.suppress(OSError):
                    self._own.shutdown(socket.SHUT_RDWR)

    def _pass_down(self, message: bytes) -> None:
        for line in message.split(b"\n"):
            found = _parse(line)
            if found.get("call") not in (None, "cancel"):
                self._under_way.add(found["id"])
        with contextlib.suppress(OSError):
            self._own.sendall(message if message.endswith(b"\n") else message + b"\n")

    def _cancel_all(self) -> None:
        """Nobody waits for these answers any more."""
        ids, self._under_way = list(self._under_way), set()
        lines = b"".join(b'{"id":%d,"call":"cancel"}\n' % number for number in ids)
        with contextlib.suppress(OSError):
            self._own.sendall(lines)


def _parse(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line) if line else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
