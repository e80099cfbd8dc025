"""Rate limits: fixed windows in this process's memory, with the Hub's `RateLimit` headers.

A request is counted for the credential it carries once that credential has proven good, else
for the address it comes from, so that invented tokens do not open fresh allowances.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmos.core.errors import LlmosError, TooManyRequests
from llmos.core.text import lazy
from llmos.infra.settings import Settings

WINDOW_S = 300
MAX_KEYS = 50_000
_SCOPE_KEY = "llmos.credential_seen"
_STATIC = ("/-/static/", "/-/health", "/avatars/", "/favicon")
_API = ("/api/", "/oauth/", "/v1/", "/v2/", "/.well-known/", "/cas/", "/models/", "/hf-inference/")
# Clients of these read what is left under other names.
_MODELS = ("/v1/", "/models/", "/hf-inference/")
_SIGNIN = frozenset({"/login", "/join", "/device", "/oauth/device", "/settings/password"})
_SIGNIN_PREFIXES = ("/-/claim/", "/-/reset/", "/-/forgot")


class Window:
    """How often each key was seen in the present window; at most MAX_KEYS are remembered."""

    __slots__ = ("_counts", "_number", "limit", "name", "policy")

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self.limit = limit
        self.policy = f'"fixed window";"{name}";q={limit};w={WINDOW_S}'.encode()
        self._counts: dict[object, int] = {}
        self._number = 0

    def take(self, key: object, now_s: float) -> tuple[int, int]:
        """Count one request: how many remain (below zero: refuse) and the seconds to the next window."""
        number, into = divmod(now_s, WINDOW_S)
        if number != self._number:
            self._number = int(number)
            self._counts = {}
        counts = self._counts
        seen = counts.get(key, 0) + 1
        if seen == 1 and len(counts) >= MAX_KEYS:
            del counts[next(iter(counts))]
        if seen <= self.limit + 1:
            counts[key] = seen
        return self.limit - seen, WINDOW_S - int(into)


@dataclass(slots=True)
class _Credential:
    """Passed along in the scope, so that whoever proves the credential can say so."""

    key: int
    good: dict[int, None]


def mark_credential_good(scope: Scope) -> None:
    """Tell the rate limiter that the credential of this request is valid."""
    credential: _Credential | None = scope.get(_SCOPE_KEY)
    if credential is not None:
        if len(credential.good) >= MAX_KEYS:
            del credential.good[next(iter(credential.good))]
        credential.good[credential.key] = None


def classify(method: str, path: str) -> str | None:
    """`api`, `resolve`, `signin` or `pages`; None for what is never limited."""
    if path.startswith(_STATIC):
        return None
    if method == "POST" and (path in _SIGNIN or path.startswith(_SIGNIN_PREFIXES)):
        return "signin"
    if path.startswith(_API):
        return "api"
    if "/resolve/" in path or "/raw/" in path or "/info/" in path or "/git-" in path:
        return "resolve"
    return "pages"


class RateLimit:
    """Middleware: refuses with 429 past a limit, and says on every answer what is left.

    `refuse` renders the refusal; `session_cookie` names the cookie that is a credential.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        refuse: Callable[[Request, LlmosError], Response],
        session_cookie: str,
    ) -> None:
        self.app = app
        self._refuse = refuse
        self._cookie = f"{session_cookie}=".encode()
        self._good: dict[int, None] = {}
        limits = {
            "api": settings.rate_api,
            "resolve": settings.rate_resolve,
            "pages": settings.rate_pages,
            "signin": settings.rate_signin,
        }
        self._windows = {name: Window(name, limit) for name, limit in limits.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = classify(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if kind is None:
            await self.app(scope, receive, send)
            return
        window = self._windows[kind]
        remaining, reset_s = window.take(self._key(scope, kind), time.time())
        headers = [
            (b"ratelimit", f'"{kind}";r={max(remaining, 0)};t={reset_s}'.encode()),
            (b"ratelimit-policy", window.policy),
        ]
        if scope["path"].startswith(_MODELS):
            headers += [
                (b"x-ratelimit-limit-requests", b"%d" % window.limit),
                (b"x-ratelimit-remaining-requests", b"%d" % max(remaining, 0)),
                (b"x-ratelimit-reset-requests", b"%ds" % reset_s),
            ]

        async def send_with_limits(message: Message) -> None:
            if message["type"] == "http.response.start":
                # A limit of the thing itself, told already, is nearer than this one.
                told = {name for name, _ in message["headers"] if name.startswith(b"x-ratelimit-")}
                message["headers"] = [*message["headers"], *(line for line in headers if line[0] not in told)]
            await send(message)

        app: ASGIApp = self.app
        if remaining < 0:
            refusal = TooManyRequests(
                lazy(
                    "Too many requests: at most %(limit)s in %(minutes)s minutes. Try again in "
                    "%(reset_s)s seconds.",
                    limit=window.limit,
                    minutes=WINDOW_S // 60,
                    reset_s=reset_s,
                ),
                data={"retry_after_s": reset_s},
            )
            app = self._refuse(Request(scope, receive), refusal)
        await app(scope, receive, send_with_limits)

    def _key(self, scope: Scope, kind: str) -> object:
        if kind != "signin":
            for name, value in scope["headers"]:
                if name == b"authorization" or (name == b"cookie" and self._cookie in value):
                    start = value.find(self._cookie) if name == b"cookie" else 0
                    # Python's own hash is keyed per process and holds no secret back to front.
                    key = hash(value[start:].split(b";", 1)[0])
                    scope[_SCOPE_KEY] = _Credential(key, self._good)
                    if key in self._good:
                        return key
                    break
        return _address_key(scope)


def _address_key(scope: Scope) -> str:
    client = scope.get("client")
    host: str = client[0] if client else "unknown"
    if ":" not in host:
        return host
    try:
        # One customer holds a whole /64 of IPv6.
        return str(ipaddress.ip_network(f"{host.partition('%')[0]}/64", strict=False))
    except ValueError:
        return host
