"""A small HTTP proxy that counts what passes and can answer 503 instead."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_HOP_HEADERS = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class Relay:
    """Forwards to `port`, which may be changed, keeping the Host the client used.

    `sent` counts body bytes and `seen` requests by kind (`xorbs`, `shards`, `hub`, …). Of each kind
    but `hub` every `fail_every`-th request is answered 503. `waited_s` is the time from each whole
    request to its whole answer, all added up.
    """

    def __init__(self, port: int, fail_every: int = 0) -> None:
        self.sent: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.failed = 0
        self.waited_s = 0.0
        self.port = port
        self._lock = threading.Lock()
        relay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                size = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(size)
                if relay._note(self.path, size, fail_every):
                    self._reply(503, {}, b"")
                    return
                upstream = http.client.HTTPConnection("127.0.0.1", relay.port)
                started = time.perf_counter()
                try:
                    upstream.request(self.command, self.path, body or None, dict(self.headers))
                    answer = upstream.getresponse()
                    data = answer.read()
                    relay._add_wait(time.perf_counter() - started)
                    self._reply(answer.status, dict(answer.getheaders()), data)
                finally:
                    upstream.close()

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = forward

            def _reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response_only(status)
                for key, value in headers.items():
                    if key.lower() not in _HOP_HEADERS:
                        self.send_header(key, value)
                length = headers.get("content-length") if self.command == "HEAD" else str(len(body))
                if length is not None and status != 304:
                    self.send_header("Content-Length", length)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def _add_wait(self, seconds: float) -> None:
        with self._lock:
            self.waited_s += seconds

    def _note(self, path: str, size: int, fail_every: int) -> bool:
        kind = next(
            (part for part in ("xorbs", "shards", "xorb-grants", "chunks", "data") if f"/{part}" in path),
            "hub",
        )
        with self._lock:
            fails = bool(fail_every) and kind != "hub" and self.seen[kind] % fail_every == 0
            self.seen[kind] += 1
            self.failed += fails
            self.sent[kind] += size
        return fails


@contextmanager
def relaying(port: int, fail_every: int = 0) -> Iterator[Relay]:
    relay = Relay(port, fail_every)
    thread = threading.Thread(target=relay._server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield relay
    finally:
        relay._server.shutdown()
        relay._server.server_close()
        thread.join()
