"""Lines of JSON over file descriptors, read and written without ever waiting for the other side."""

from __future__ import annotations

import json
import os
import select
import threading
from collections import deque
from typing import Any

from llmos.wire.serving import MAX_LINE_BYTES

_CHUNK = 1 << 18
# What may lie unread by the other side before the engine waits for it.
_MOST_UNSENT = 64 << 20


class Channel:
    """Frames in, frames out. `closed` once the other side is gone, `ended` once it says nothing more.

    `read` and `write` are descriptors; for a socket both are the same, and its end is the other side's.
    """

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write
        self._left = b""
        self._lines: deque[dict[str, Any]] = deque()
        self._unsent: deque[memoryview] = deque()
        self._unsent_bytes = 0
        # Engines that answer in threads send from all of them.
        self._lock = threading.Lock()
        self.closed = self.ended = False
        os.set_blocking(read, False)
        os.set_blocking(write, False)

    def poll(self, timeout_s: float | None = 0) -> list[dict[str, Any]]:
        """Frames that have come. Waits for the first one up to `timeout_s`, None: for ever.

        A line that is no JSON object becomes `{"call": None}`, so that it is answered.
        """
        writers = [self._write] if self._unsent else []
        while not self.closed and not self.ended:
            ready, can_write, _ = select.select([self._read], writers, [], timeout_s)
            if can_write:
                self._flush()
                writers = [self._write] if self._unsent else []
            if ready:
                self._take()
            if ready or timeout_s is not None or not can_write:
                break
        found = list(self._lines)
        self._lines.clear()
        return found

    def send(self, frame: dict[str, Any]) -> None:
        if self.closed:
            return
        line = json.dumps(frame, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"
        with self._lock:
            self._unsent.append(memoryview(line))
            self._unsent_bytes += len(line)

    def flush(self) -> None:
        """Hand over what was sent; waits only while very much lies unread."""
        self._flush()
        while self._unsent_bytes > _MOST_UNSENT and not self.closed:
            select.select([], [self._write], [])
            self._flush()

    def drain(self, timeout_s: float = 5.0) -> None:
        """Before the end: wait until all is handed over."""
        self._flush()
        while self._unsent and not self.closed:
            if not select.select([], [self._write], [], timeout_s)[1]:
                return
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            self._hand_over()

    def _hand_over(self) -> None:
        if len(self._unsent) > 1:
            whole = memoryview(b"".join(self._unsent))
            self._unsent.clear()
            self._unsent.append(whole)
        while self._unsent:
            try:
                done = os.write(self._write, self._unsent[0])
            except BlockingIOError:
                return
            except OSError:
                self.closed = True
                self._unsent.clear()
                self._unsent_bytes = 0
                return
            self._unsent_bytes -= done
            if done < len(self._unsent[0]):
                self._unsent[0] = self._unsent[0][done:]
            else:
                self._unsent.popleft()

    def _take(self) -> None:
        while True:
            try:
                data = os.read(self._read, _CHUNK)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.ended, self.closed = True, self.closed or self._read == self._write
                return
            *lines, self._left = (self._left + data).split(b"\n")
            for line in lines:
                if line.strip():
                    self._lines.append(_parse(line))
            if len(self._left) > MAX_LINE_BYTES:
                self.closed = True
                return


def _parse(line: bytes) -> dict[str, Any]:
    try:
        frame = json.loads(line)
    except ValueError:
        return {"call": None}
    return frame if isinstance(frame, dict) else {"call": None}
