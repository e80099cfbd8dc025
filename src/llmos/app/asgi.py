"""The web process: one ASGI application."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from anyio import to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Lifespan

from llmos import __version__
from llmos.app.faces import render_error
from llmos.app.heads import HeadAsGet
from llmos.app.invalid import as_bad_request
from llmos.app.mending import Mender
from llmos.app.middleware import RequestEdge, as_refusal
from llmos.app.routes import add_routes
from llmos.app.schema import ensure_schema
from llmos.app.site_pages import watch_installer
from llmos.core.errors import BadRequest, LlmosError, NotFound
from llmos.features.auth.edge import SESSION_COOKIE
from llmos.features.discussions.forum_views import flush_views
from llmos.features.endpoints.channel import Channels
from llmos.features.endpoints.switchboard import close_board
from llmos.features.moderation.limits import register_limits
from llmos.features.notifications.pages import start_live_news
from llmos.features.repos.downloads import flush_downloads
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime, open_runtime
from llmos.infra.security.ratelimit import RateLimit
from llmos.infra.settings import Settings, get_settings
from llmos.infra.web.cors import CrossOrigin
from llmos.infra.web.proxies import TrustedProxies
from llmos.infra.web.routing import RawPath
from llmos.protocols.hf.resolve import FilesFirst


def create_app(settings: Settings | None = None, runtime: Runtime | None = None) -> ASGIApp:
    """The application over a runtime of its own, its database migrated, or over the one given.

    The caller closes, and migrates, a runtime it gives.
    """
    rt = runtime or open_runtime(settings or get_settings())
    if runtime is None:
        ensure_schema(rt)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        _tune_threads(rt.settings.threads)
        mender = Mender(rt)
        mender.start()
        yield
        await to_thread.run_sync(mender.stop)
        await close_board(rt)
        await live.close()
        flush_downloads(rt)
        flush_views(rt)
        if runtime is None:
            rt.close()

    app = build_api(lifespan)
    app.state.runtime = rt
    live = start_live_news(app, rt)
    watch_installer(rt)
    register_limits(rt.settings)
    inner: ASGIApp = RawPath(FilesFirst(HeadAsGet(app, app), app))
    if rt.settings.rate_limits:

        def refuse(request: Request, error: LlmosError) -> Response:
            request.scope.setdefault("app", app)  # the page face looks for its runtime there
            return render_error(request, error)

        inner = RateLimit(inner, rt.settings, refuse, SESSION_COOKIE)
    edge = RequestEdge(TrustedProxies(inner, rt.settings.trusted_proxies))
    # Outermost: whatever stands in between speaks HTTP alone.
    return Channels(CrossOrigin(edge, frozenset(rt.settings.cors_origins.replace(",", " ").split())), rt)


def build_api(lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    """Routes and error faces without a runtime: what the house tests and the docs read."""
    app = FastAPI(
        title="LLMOS",
        version=__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.add_exception_handler(LlmosError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(StarletteHTTPException, _http)
    app.add_exception_handler(Exception, _failed)
    add_routes(app)
    return app


def flat_routes(api: FastAPI) -> Iterator[BaseRoute]:
    """Every single route in matching order; FastAPI keeps included routers as one entry each."""
    stack: list[Any] = list(reversed(api.routes))
    while stack:
        route = stack.pop()
        included = getattr(route, "original_router", None)
        if included is None:
            yield route
        else:
            stack.extend(reversed(included.routes))


def _tune_threads(threads: int) -> None:
    # A request crosses between the event loop and a worker thread several times; at Python's
    # default of 5 ms each crossing may wait that long for the interpreter lock.
    sys.setswitchinterval(0.0002)
    to_thread.current_default_thread_limiter().total_tokens = threads


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, LlmosError)
    return render_error(request, error)


async def _failed(request: Request, error: Exception) -> Response:
    # The framework raises `error` again after this answer, and the outermost layer logs it.
    return render_error(request, as_refusal(error))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return render_error(request, as_bad_request(error.errors()))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    if error.status_code == 404:
        return render_error(request, NotFound(lazy("There is nothing at this address.")))
    if error.status_code == 405:
        allow = (error.headers or {}).get("Allow", "")
        refusal = LlmosError(
            lazy("This address does not take %(method)s.", method=request.method),
            status=405,
            code="MethodNotAllowed",
        )
        response = render_error(request, refusal)
        if allow:
            response.headers["Allow"] = allow
        return response
    return render_error(request, BadRequest(str(error.detail), status=error.status_code))
