"""The calls of a runner to its hub, with nothing but the standard library: an idle runner stays small.

Shapes and the meaning of each refusal: `llmos.wire.jobs`.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

LEASE_HEADER = "X-LLMOS-Lease"
_MAX_ANSWER_BYTES = 16 * 1024 * 1024


class Unreachable(Exception):
    """No answer, or one that says to come back: repeat later. Every call may be repeated.

    `retry_after_s` is what the hub asks for, or 0.
    """

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Refused(Exception):
    """The hub said no: `status`, its stable `code`, and `data` as in `llmos.wire.jobs`."""

    def __init__(self, status: int, code: str, message: str, data: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.status, self.code, self.data = status, code, data


class RunnerApi:
    """Safe to use from several threads: each keeps a connection of its own."""

    def __init__(self, hub_url: str, token: str, *, timeout_s: float = 30.0) -> None:
        parts = urlsplit(hub_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{hub_url!r} is not an address: give one such as https://hub.example.org")
        self.hub_url = hub_url.rstrip("/")
        self._https = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port or (443 if self._https else 80)
        self._prefix = parts.path.rstrip("/")
        self._token = token
        self._timeout_s = timeout_s
        self._local = threading.local()

    def hello(self, hello: Mapping[str, Any]) -> dict[str, Any]:
        return self._post("/api/runners/hello", hello) or {}

    def claim(self, hello: Mapping[str, Any], *, wait_s: float) -> dict[str, Any] | None:
        """A claim as `wire.jobs.Claim`, or None: no job came within `wait_s`."""
        body = {**hello, "wait_s": wait_s}
        return self._post("/api/runners/claim", body, timeout_s=wait_s + self._timeout_s)

    def drain(self, *, draining: bool) -> dict[str, Any]:
        return self._post("/api/runners/drain", {"draining": draining}) or {}

    def send_events(self, job_id: str, lease: str, first_seq: int, events: list[bytes]) -> dict[str, Any]:
        """`events` are JSON already, as they lie in the spool."""
        body = b'{"first_seq":%d,"events":[%s]}' % (first_seq, b",".join(events))
        return self._post(f"/api/runners/jobs/{job_id}/events", body, lease=lease) or {}

    def heartbeat(self, job_id: str, lease: str, beat: Mapping[str, Any]) -> dict[str, Any]:
        return self._post(f"/api/runners/jobs/{job_id}/heartbeat", beat, lease=lease) or {}

    def propose(
        self,
        job_id: str,
        lease: str,
        proposal: Mapping[str, Any],
        *,
        first_seq: int = 0,
        events: Sequence[bytes] = (),
    ) -> dict[str, Any]:
        """A state, and with it the `events` that have not been sent yet, as for `send_events`."""
        body: Mapping[str, Any] | bytes = proposal
        if events:
            head = json.dumps(proposal).encode()[:-1]
            body = head + b',"first_seq":%d,"events":[%s]}' % (first_seq, b",".join(events))
        return self._post(f"/api/runners/jobs/{job_id}/state", body, lease=lease) or {}

    def channel(self, job_id: str, lease: str) -> tuple[str, dict[str, str]]:
        """Address and headers of the WebSocket between an engine and the hub."""
        scheme = "wss" if self._https else "ws"
        host = f"[{self._host}]" if ":" in self._host else self._host
        address = f"{scheme}://{host}:{self._port}{self._prefix}/api/runners/jobs/{job_id}/channel"
        return address, {"Authorization": f"Bearer {self._token}", LEASE_HEADER: lease}

    def close(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _post(
        self,
        path: str,
        body: Mapping[str, Any] | bytes,
        *,
        lease: str = "",
        timeout_s: float | None = None,
    ) -> dict[str, Any] | None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        if lease:
            headers[LEASE_HEADER] = lease
        for fresh in (False, True):
            connection = self._connect(fresh, timeout_s or self._timeout_s)
            reused = connection.sock is not None
            try:
                connection.request("POST", self._prefix + path, data, headers)
                answer = connection.getresponse()
                return _understand(answer, answer.read(_MAX_ANSWER_BYTES))
            except (OSError, http.client.HTTPException) as error:
                self.close()
                # The hub may have closed a connection that lay idle; only then again at once.
                if not reused or fresh or isinstance(error, TimeoutError):
                    raise Unreachable(f"{self.hub_url} does not answer: {error!r}") from error
        raise Unreachable(f"{self.hub_url} does not answer")

    def _connect(self, fresh: bool, timeout_s: float) -> http.client.HTTPConnection:
        if fresh:
            self.close()
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            kind = http.client.HTTPSConnection if self._https else http.client.HTTPConnection
            connection = kind(self._host, self._port, timeout=timeout_s)
            self._local.connection = connection
        connection.timeout = timeout_s
        if connection.sock is not None:
            connection.sock.settimeout(timeout_s)
        return connection


def _understand(answer: http.client.HTTPResponse, body: bytes) -> dict[str, Any] | None:
    if answer.status == 204:
        return None
    try:
        found = json.loads(body)
    except ValueError:
        found = {}
    if not isinstance(found, dict):
        found = {}
    if 200 <= answer.status < 300:
        return found
    message = str(found.get("error") or answer.reason)
    if answer.status == 429 or answer.status >= 500:
        wait = answer.getheader("Retry-After", "")
        raise Unreachable(f"{answer.status} {message}", float(wait) if wait.isdigit() else 0.0)
    data = found.get("data")
    known = data if isinstance(data, dict) else found
    raise Refused(answer.status, str(found.get("code", "")), message, known)
