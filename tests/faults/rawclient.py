"""A client that speaks ASGI itself, so that any bytes can be sent: no library cleans them up."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Message

LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """`is_closed` says that the application raised: a server would close the connection."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_closed: bool = False

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class RawClient:
    """Requests with paths, headers and bodies byte for byte as given."""

    def __init__(self, app: ASGIApp, runner: asyncio.Runner) -> None:
        self._app = app
        self._runner = runner

    def __call__(
        self,
        method: str,
        target: str | bytes,
        *,
        headers: dict[str, str | bytes] | None = None,
        body: bytes | list[bytes] = b"",
        token: str | None = None,
    ) -> Answer:
        """`target` is path and query as on the request line; `body` may come in pieces."""
        raw = target if isinstance(target, bytes) else target.encode("utf-8", "surrogatepass")
        path, _, query = raw.partition(b"?")
        pieces = [body] if isinstance(body, bytes) else body
        fields = [(b"host", b"testserver"), (b"content-length", b"%d" % sum(map(len, pieces)))]
        if token:
            fields.append((b"authorization", b"Bearer " + token.encode()))
        given = {_bytes(key).lower(): _bytes(value) for key, value in (headers or {}).items()}
        fields = [(key, value) for key, value in fields if key not in given] + list(given.items())
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote_to_bytes(path).decode("utf-8", "replace"),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": fields,
            "client": ("127.0.0.1", 40000),
            "server": ("testserver", 80),
            "extensions": {},
            "state": {},
        }
        return self._runner.run(asyncio.wait_for(self._ask(scope, list(pieces)), LIMIT_S))

    async def _ask(self, scope: dict[str, Any], pieces: list[bytes]) -> Answer:
        status, headers, out = 0, {}, bytearray()
        finished = asyncio.Event()

        async def receive() -> Message:
            if pieces:
                piece = pieces.pop(0)
                return {"type": "http.request", "body": piece, "more_body": bool(pieces)}
            await finished.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = {
                    key.decode("latin-1"): value.decode("latin-1") for key, value in message["headers"]
                }
            else:
                out.extend(message.get("body", b""))
                if not message.get("more_body", False):
                    finished.set()

        try:
            await self._app(scope, receive, send)
        except Exception as error:
            return Answer(status or 599, headers, repr(error).encode(), is_closed=True)
        finally:
            finished.set()
        return Answer(status, headers, bytes(out))


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")
