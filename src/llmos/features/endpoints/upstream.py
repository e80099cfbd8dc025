"""Endpoints that pass calls on to another OpenAI-compatible server. Each call has a thread while it lasts."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from llmos.core.errors import NotBuilt
from llmos.features.endpoints.errors import ModelNotFound, QueueFull
from llmos.features.endpoints.models import Endpoint
from llmos.features.endpoints.resolving import Route
from llmos.features.endpoints.streams import CallStream, Frame, Served
from llmos.features.endpoints.switchboard import Switchboard
from llmos.features.endpoints.upstream_words import Chunks, to_request
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.security.sealing import unseal
from llmos.infra.web.deps import run_read

# Of the endpoint's key; `service` seals it with the same word.
SEAL = "endpoint-key"
_SILENCE_S = 300.0
_MAX_ANSWER_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Target:
    url: str
    model: str
    key: str
    task: str


async def ask_upstream(board: Switchboard, route: Route, call: dict[str, Any]) -> CallStream:
    """The call as the other server answers it. Raises NotBuilt for what it has no call for, QueueFull."""
    target = await run_read(board.rt, lambda db: _target(db, board.rt, route.endpoint_id))
    request = to_request(call, target.model)
    if request is None:
        raise NotBuilt(lazy("This endpoint passes chats, completions and embeddings on, nothing else."))
    under_way = board.starting.get(route.endpoint_id, 0)
    if under_way >= board.rt.settings.serve_queue:
        raise QueueFull(
            lazy("%(count)d calls wait for %(name)s already.", count=under_way, name=route.repo_name),
            data={"retry_after_s": 5, "waiting": under_way},
        )
    board.starting[route.endpoint_id] = under_way + 1

    def end(ended: CallStream, last: Frame | None) -> None:
        board.starting[route.endpoint_id] -= 1
        board.meter.count(0, ended, last)

    stream = CallStream(end)
    stream.served = Served(
        route.endpoint_id, route.repo_name, "", {"engine": "upstream", "task": target.task}
    )
    passing = _Passing(target, request[0], json.dumps(request[1]).encode(), stream)
    stream.cancel = passing.stop
    threading.Thread(target=passing.run, daemon=True, name="upstream").start()
    return stream


def _target(db: Session, rt: Runtime, endpoint_id: int) -> _Target:
    endpoint = db.get(Endpoint, endpoint_id)
    if endpoint is None or endpoint.state != "active":
        raise ModelNotFound(lazy("This model was deleted a moment ago."))
    key = unseal(rt.signer, SEAL, endpoint.sealed_key).decode() if endpoint.sealed_key else ""
    return _Target(endpoint.upstream_url, endpoint.upstream_model, key, endpoint.task)


class _Passing:
    """One call on its way; `run` in a thread, the stream in its loop."""

    def __init__(self, target: _Target, path: str, body: bytes, stream: CallStream) -> None:
        self._target, self._path, self._body = target, path, body
        self._stream, self._loop = stream, asyncio.get_running_loop()
        self._connection: http.client.HTTPConnection | None = None
        self._is_stopped = False

    def stop(self) -> None:
        """Nobody waits any more: the other server notices that the connection is gone."""
        self._is_stopped = True
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(2)

    def _push(self, frame: Frame) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stream.push, frame)

    def run(self) -> None:
        try:
            self._pass()
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError) as error:
            if not self._is_stopped:
                self._fail(502, str(lazy("The other server does not answer: %(error)s", error=repr(error))))
        finally:
            if self._connection is not None:
                self._connection.close()

    def _fail(self, status: int, message: str) -> None:
        self._push({"event": "error", "status": status, "code": "upstream_error", "message": message,
                    "param": None, "data": {}})  # fmt: skip

    def _pass(self) -> None:
        parts = urlsplit(self._target.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "", parts.port, timeout=_SILENCE_S)
        headers = {"Content-Type": "application/json"}
        if self._target.key:
            headers["Authorization"] = f"Bearer {self._target.key}"
        self._connection.request("POST", parts.path.rstrip("/") + self._path, self._body, headers)
        answer = self._connection.getresponse()
        if answer.status >= 400:
            said = answer.read(4000).decode(errors="replace")
            # Its refusal of our key is no fault of whoever asked.
            self._fail(502 if answer.status in (401, 403, 404) else answer.status, said[:1000])
        elif self._path == "/embeddings":
            found = json.loads(answer.read(_MAX_ANSWER_BYTES))
            vectors = [one["embedding"] for one in found["data"]]
            tokens = (found.get("usage") or {}).get("prompt_tokens", 0)
            self._push({"event": "result", "result": {"embeddings": vectors, "prompt_tokens": tokens}})
        else:
            self._follow(answer)

    def _follow(self, answer: http.client.HTTPResponse) -> None:
        chunks = Chunks()
        self._push({"event": "start", "prompt_tokens": 0})
        for line in answer:
            data = line.strip().removeprefix(b"data:").strip()
            if not line.startswith(b"data:"):
                continue
            if data == b"[DONE]":
                break
            for frame in chunks.take(json.loads(data)):
                self._push(frame)
        self._push(chunks.last())
