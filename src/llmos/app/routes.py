"""Every router of the instance, in matching order: protocols first, pages last."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def _health(_request: object) -> PlainTextResponse:
    return PlainTextResponse("ok")


def add_routes(app: FastAPI) -> None:
    app.router.routes.append(Route("/-/health", _health))
