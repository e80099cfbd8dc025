"""HEAD wherever there is GET: the same route, the same headers, no body."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send


class HeadAsGet:
    """Middleware: a HEAD that its route would refuse is asked as GET.

    Routes that name HEAD themselves get it, and may answer without making the body. The outermost
    layer (`RequestEdge`) drops whatever body is left.
    """

    def __init__(self, app: ASGIApp, api: FastAPI) -> None:
        self.app = app
        self.api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD" and self._is_for_get(scope):
            scope = {**scope, "method": "GET"}
        await self.app(scope, receive, send)

    def _is_for_get(self, scope: Scope) -> bool:
        """Whether the first route of this address that reads at all takes GET, but not HEAD."""
        for route in self.api.router.routes:
            match, _ = route.matches(scope)
            if match is Match.FULL:
                return False
            if match is Match.PARTIAL and "GET" in (getattr(route, "methods", None) or ()):
                return True
        return False
