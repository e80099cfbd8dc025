"""Routing on the raw path, so that `%2F` inside a segment survives.

ASGI servers decode the path before routing, which turns `refs%2Fpr%2F1` into three segments.
`RawPath` puts the undecoded path back; the convertors below decode each parameter once.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

from fastapi import FastAPI
from starlette.convertors import Convertor, register_url_convertor
from starlette.types import ASGIApp, Receive, Scope, Send

from llmos.infra.web.lazy_routes import Router


class _Segment(Convertor[str]):
    """`{x:seg}`: one path segment, percent-decoded."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        return unquote(value)

    def to_string(self, value: str) -> str:
        return quote(value, safe="")


class _Revision(_Segment):
    """`{rev:rev}`: a revision, also `refs/pr/1` and `refs/convert/parquet` written with bare slashes."""

    regex = "refs(?:/|%2[Ff])(?:pr|convert|heads|tags)(?:/|%2[Ff])[^/]+|[^/]+"


class _Rest(_Segment):
    """`{path:rest}`: all the rest of the path, percent-decoded."""

    regex = ".+"

    def to_string(self, value: str) -> str:
        return quote(value, safe="/")


register_url_convertor("seg", _Segment())
register_url_convertor("rev", _Revision())
register_url_convertor("rest", _Rest())


def add_router(app: FastAPI, router: Router) -> None:
    """Put the router's routes into the application as they are.

    `include_router` would build each of them a second time, at the first request: half a second
    for some hundred routes. Our routers carry neither prefixes nor dependencies of their own.
    """
    app.router.routes.extend(router.routes)


class RawPath:
    """Middleware: `scope["path"]` becomes the raw, still percent-encoded path."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            raw: Any = scope.get("raw_path")
            if raw:
                scope = dict(scope)
                scope["path"] = raw.split(b"?", 1)[0].decode("latin-1")
        await self.app(scope, receive, send)
