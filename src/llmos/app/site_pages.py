"""What belongs to the site as a whole: static files, the pattern page, the progress of the installer."""

from __future__ import annotations

import time
from collections.abc import Callable

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount

from llmos.app.install_lab import read_progress
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import page_context, set_install_progress
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.page_headers import PAGE_HEADERS
from llmos.infra.web.routing import add_router
from llmos.ui.patterns import patterns_page
from llmos.ui.render import InstallProgress
from llmos.ui.static_files import URL_PREFIX, asset, static_app

router = Router(include_in_schema=False)
_LOOK_EVERY_S = 2.0


@router.get("/-/patterns")
def show_patterns(request: Request, actor: ActorDep) -> Response:
    return HTMLResponse(patterns_page(page_context(request, actor)), headers=PAGE_HEADERS)


@router.get("/favicon.ico")
def show_favicon() -> Response:
    return RedirectResponse(asset("favicon.svg"), 307)


def add_site_pages(app: FastAPI) -> None:
    app.router.routes.append(Mount(URL_PREFIX.rstrip("/"), app=static_app))
    add_router(app, router)


def watch_installer(rt: Runtime) -> None:
    """Let pages show how far the training side is, read from disk at most every two seconds."""
    set_install_progress(_reader(rt))


def _reader(rt: Runtime) -> Callable[[], InstallProgress | None]:
    known: InstallProgress | None = None
    looked_at = 0.0

    def read() -> InstallProgress | None:
        nonlocal known, looked_at
        if time.monotonic() - looked_at > _LOOK_EVERY_S:
            looked_at = time.monotonic()
            found = read_progress(rt.settings.home)
            label = lazy("The training tools are being installed in the background.")
            known = InstallProgress(label, int(found.share * 100), 100) if found.state == "running" else None
        return known

    return read
