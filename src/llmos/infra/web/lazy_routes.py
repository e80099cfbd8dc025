"""Routes that cost nothing until somebody asks for them.

FastAPI reads the signature of every endpoint and compiles its path when a route is declared: some
milliseconds and some ten kilobytes each, for hundreds of addresses most of which a process never
serves. `Router` keeps what was declared and does that work at the first address that may be meant.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette._utils import get_route_path
from starlette.routing import Match
from starlette.types import Scope

_PARAMETER = re.compile(r"{[^}]*}")
# Endpoints share nothing while they are built but FastAPI's own caches; openapi.json is made in a thread.
_building = threading.RLock()


class LazyRoute(APIRoute):
    """A route of FastAPI that is built at the first look at anything but its path and endpoint."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self.path = path
        self.endpoint = endpoint
        self.include_in_schema = options.get("include_in_schema", True)
        self._literals = _PARAMETER.split(path)
        self._options: dict[str, Any] | None = options

    def __getattr__(self, name: str) -> Any:
        """What only a built route has."""
        if name.startswith("__") or not self._build():
            raise AttributeError(name)
        return getattr(self, name)

    def _build(self) -> bool:
        """Build the route unless that was done; whether it was done now."""
        with _building:
            options = self.__dict__.get("_options")
            if options is None:
                return False
            self._options = None
            try:
                super().__init__(self.path, self.endpoint, **options)
            except BaseException:
                self._options = options
                raise
            return True

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if not _may_match(self._literals, get_route_path(scope)):
            return Match.NONE, {}
        self._build()
        return super().matches(scope)


class Router(APIRouter):
    """FastAPI's router; its routes are built when they are needed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(route_class=LazyRoute, **options)


def _may_match(literals: list[str], path: str) -> bool:
    """Whether the fixed parts of a path template occur in `path` in their order, at both ends."""
    if not path.startswith(literals[0]):
        return False
    at = len(literals[0])
    for literal in literals[1:-1]:
        found = path.find(literal, at + 1)  # a parameter is never empty
        if found < 0:
            return False
        at = found + len(literal)
    last = literals[-1]
    if len(literals) == 1:
        return at == len(path)
    return path.endswith(last) and len(path) - len(last) > at
