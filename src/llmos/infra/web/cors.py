"""Pages of other sites as clients: what their scripts may ask here, and read of the answers.

A script that sends an access token, or uses a signed link, has proved what it may see, so it may
read the answer wherever it runs. Public files are open to pages, too, which load models from here.
The rest of the API stays closed to foreign pages without a token unless the operator names their
origin: an instance inside a network could else be searched by every page its people visit. Cookies
never count across sites: no answer allows credentials.
"""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
MAX_AGE_S = b"7200"
EXPOSED = b", ".join(
    [
        b"Accept-Ranges",
        b"Content-Disposition",
        b"Content-Length",
        b"Content-Range",
        b"ETag",
        b"Link",
        b"Location",
        b"RateLimit",
        b"Retry-After",
        b"X-Error-Code",
        b"X-Error-Message",
        b"X-LLMOS-Revision",
        b"X-Linked-ETag",
        b"X-Linked-Size",
        b"X-Repo-Commit",
        b"X-Request-Id",
        b"X-Total-Count",
        b"X-Xet-Access-Token",
        b"X-Xet-Cas-Url",
        b"X-Xet-Hash",
        b"X-Xet-Token-Expiration",
    ]
)
_PATHS = re.compile(r"/(?:api|cas|-/lfs|v1|models|hf-inference)/|/.+/(?:resolve|raw)/|/.+\.git/info/lfs/")
# Signed links, and files.
_OPEN = re.compile(r"/cas/data/|/-/lfs/|/(?!api/).+/(?:resolve|raw)/")
_HEADER_NAMES = re.compile(rb"[A-Za-z0-9-]{1,64}(?: *, *[A-Za-z0-9-]{1,64}){0,63}\Z")


class CrossOrigin:
    """Middleware, outside of everything that answers, so that refusals can be read as well.

    Pages of these `origins` may read all that is public without a token; `*` means every origin.
    """

    def __init__(self, app: ASGIApp, origins: frozenset[str]) -> None:
        self.app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _PATHS.match(scope["path"]):
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        origin = headers.get(b"origin")
        if origin is None:
            await self.app(scope, receive, send)
        elif scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            await _answer_preflight(headers.get(b"access-control-request-headers", b""), send)
        elif self._may_read(scope, headers, origin):
            await self.app(scope, receive, _opened(send))
        else:
            await self.app(scope, receive, send)

    def _may_read(self, scope: Scope, headers: dict[bytes, bytes], origin: bytes) -> bool:
        if b"authorization" in headers or _OPEN.match(scope["path"]):
            return True
        return "*" in self._origins or origin.decode("latin-1") in self._origins


def _opened(send: Send) -> Send:
    async def send_opened(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [
                *message["headers"],
                (b"access-control-allow-origin", b"*"),
                (b"access-control-expose-headers", EXPOSED),
                # Whether these lines are there depends on them; a cache must not mix them up.
                (b"vary", b"Origin, Authorization"),
            ]
        await send(message)

    return send_opened


async def _answer_preflight(asked: bytes, send: Send) -> None:
    """Everything may be asked; whether the answer may be read is decided when it is asked."""
    headers = [
        (b"access-control-allow-origin", b"*"),
        (b"access-control-allow-methods", METHODS),
        (b"access-control-max-age", MAX_AGE_S),
        (b"vary", b"Origin, Access-Control-Request-Headers"),
        (b"content-length", b"0"),
    ]
    # `*` would not cover Authorization, so the names are said.
    if _HEADER_NAMES.match(asked):
        headers.append((b"access-control-allow-headers", asked))
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
