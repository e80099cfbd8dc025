"""Models that another server answers for, spoken to in OpenAI's API: vLLM on this machine, or any address."""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from llmos.core.errors import LlmosError
from llmos.lab.serve.channel import Channel
from llmos.lab.serve.chunks import Frame, Translator, refusal, request_of
from llmos.lab.serve.errors import CallError, CannotServe, error_frame
from llmos.wire.serving import Embed, Generate

TIMEOUT_S = 600.0


class Address:
    """`http://host/v1`, `https://…` or `unix:/path`, with a key where one is needed."""

    def __init__(self, url: str, key: str = "", model: str = "") -> None:
        self.url, self._key, self.model = url, key, model
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https", "unix"):
            raise CannotServe(f"LLMOS_UPSTREAM_URL is no address: {url!r}. Give http:// or https://.")
        self._parts = parts
        self._prefix = "" if parts.scheme == "unix" else parts.path.rstrip("/").removesuffix("/v1")

    def connect(self) -> http.client.HTTPConnection:
        parts = self._parts
        if parts.scheme == "unix":
            return _UnixConnection(parts.path)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)

    def open(
        self, connection: http.client.HTTPConnection, path: str, body: Frame | None = None
    ) -> http.client.HTTPResponse:
        """The answer's beginning. Raises CallError with their words for a refusal."""
        headers = {"content-type": "application/json"}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        if body is not None and self.model:
            body = {**body, "model": self.model}
        try:
            text = json.dumps(body) if body is not None else None
            connection.request("POST" if body is not None else "GET", self._prefix + path, text, headers)
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise CallError(
                f"The server behind this model does not answer: {error}.", status=502, code="upstream_gone"
            ) from error
        if answer.status != 200:
            raise refusal(answer.status, _json(answer.read(1 << 20)), "The server behind this model")
        return answer

    def first_model(self) -> Frame:
        """What the server says of the model it serves first, or of the one named."""
        connection = self.connect()
        try:
            listed = _json(self.open(connection, "/v1/models").read(1 << 22))
        finally:
            connection.close()
        models = listed.get("data") or [] if isinstance(listed, dict) else []
        for model in models:
            if isinstance(model, dict) and self.model in ("", model.get("id")):
                return model
        return {}


class RemoteService:
    """Passes calls on, each in a thread of its own; closing the channel ends them."""

    def __init__(self, channel: Channel, address: Address) -> None:
        self.channel, self.address = channel, address
        self._lock = threading.Lock()
        self._open: dict[int, http.client.HTTPConnection] = {}

    def _send(self, number: int, frame: Frame, connection: http.client.HTTPConnection) -> bool:
        """False once nobody wants to know. The call's number is free before its last frame is out."""
        with self._lock:
            if self._open.get(number) is not connection or self.channel.closed:
                return False
            if frame["event"] in ("done", "result", "error"):
                del self._open[number]
            self.channel.send({"id": number, **frame})
            self.channel.drain()
        return True

    def run(self) -> None:
        while not self.channel.closed and not (self.channel.ended and not self._open):
            for frame in self.channel.poll(0.5 if self.channel.ended or self._open else None):
                self._take(frame)

    def _take(self, frame: Frame) -> None:
        number, kind = frame.get("id"), frame.get("call")
        if not isinstance(number, int):
            return
        if kind == "cancel":
            with self._lock:
                connection = self._open.pop(number, None)
            if connection is not None and connection.sock is not None:
                # Wakes the thread that reads from it, and tells the server to stop.
                connection.sock.shutdown(socket.SHUT_RDWR)
            return
        with self._lock:
            self._open[number] = connection = self.address.connect()
        threading.Thread(target=self._answer, args=(number, frame, connection), daemon=True).start()

    def _answer(self, number: int, frame: Frame, connection: http.client.HTTPConnection) -> None:
        try:
            for told in self._frames(frame, connection):
                if not self._send(number, told, connection):
                    break
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            self._send(number, error_frame(CallError(f"{place}: {first['msg']}.", param=place)), connection)
        except LlmosError as error:
            self._send(number, error_frame(error), connection)
        except (OSError, ValueError, http.client.HTTPException, KeyError, TypeError) as error:
            gone = CallError(
                f"The server behind this model broke off: {error}.", status=502, code="upstream_gone"
            )
            self._send(number, error_frame(gone), connection)
        finally:
            connection.close()
            with self._lock:
                if self._open.get(number) is connection:
                    del self._open[number]

    def _frames(self, frame: Frame, connection: http.client.HTTPConnection) -> Iterator[Frame]:
        kind = frame.get("call")
        if kind == "embed":
            yield self._embed(Embed.model_validate(frame), connection)
        elif kind == "generate":
            call = Generate.model_validate(frame)
            path, body = request_of(call)
            if body["stream"]:
                body["stream_options"] = {"include_usage": True}
            answer = self.address.open(connection, path, body)
            yield from translate(call, _events(answer) if body["stream"] else iter([_json(answer.read())]))
        else:
            raise CallError(f"Engines elsewhere do not answer {kind}.", code="task_not_supported", status=501)

    def _embed(self, call: Embed, connection: http.client.HTTPConnection) -> Frame:
        body: Frame = {"input": call.inputs}
        if call.dimensions is not None:
            body["dimensions"] = call.dimensions
        found = _json(self.address.open(connection, "/v1/embeddings", body).read())
        vectors = [one["embedding"] for one in sorted(found["data"], key=lambda one: int(one["index"]))]
        used = (found.get("usage") or {}).get("prompt_tokens", 0)
        return {"event": "result", "result": {"embeddings": vectors, "prompt_tokens": used}}


def translate(call: Generate, chunks: Iterator[Any]) -> Iterator[Frame]:
    """Frames of an answer that comes in OpenAI's chunks."""
    translator = Translator(call)
    for chunk in chunks:
        if chunk.get("error"):
            raise refusal(502, chunk, "The server behind this model")
        yield from translator.push(chunk)
    yield translator.end()


def of_environment() -> Address:
    """The upstream of LLMOS_UPSTREAM_URL, _KEY and _MODEL. Raises CannotServe without one."""
    url = os.environ.get("LLMOS_UPSTREAM_URL", "")
    if not url:
        raise CannotServe("LLMOS_UPSTREAM_URL is not set: it is the address this engine passes calls on to.")
    return Address(url, os.environ.get("LLMOS_UPSTREAM_KEY", ""), os.environ.get("LLMOS_UPSTREAM_MODEL", ""))


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(self._path)


def _events(answer: http.client.HTTPResponse) -> Iterator[Any]:
    """The data of server-sent events, up to `[DONE]`."""
    readline: Callable[[], bytes] = answer.readline
    for line in iter(readline, b""):
        data = line.strip().removeprefix(b"data:").strip() if line.startswith(b"data:") else b""
        if data == b"[DONE]":
            return
        if data:
            yield json.loads(data)


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return {"error": {"message": data[:300].decode("utf-8", "replace")}}
