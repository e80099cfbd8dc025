"""The web process: `python -m llmos.app.serve`, as the supervisor and the tests start it.

One web worker is served by this very process: a parent that only watches it would cost 20 MB and a
third of a second at the start, and the supervisor watches already. More workers share the port
under a parent of their own, which stays small. Each brings the database to the current schema
before it answers (the first one does, the others wait).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from typing import Any, NoReturn

from granian.constants import Interfaces
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.types import ASGIApp

from llmos.app.supervisor import WRONG_SETTINGS
from llmos.infra.settings import Settings, get_settings
from llmos.infra.settled import settle
from llmos.infra.web.ports import port_problem

SETTLE_AFTER_S = 5.0
STOP_WORKERS_AFTER_S = 10


def main() -> None:
    gc.disable()  # a start makes objects that stay: looking through them again and again costs a sixth of it
    try:
        settings = get_settings()
    except ValidationError as error:
        _refuse("\n".join(f"Error: {_setting_name(item)}: {item['msg']}." for item in error.errors()))
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    if problem := port_problem(settings.host, settings.port):
        _refuse(problem)
    if settings.web_workers == 1:
        sys.exit(0 if asyncio.run(_serve_here(settings)) else 1)
    _serve_with_workers(settings)


def _refuse(problem: str) -> NoReturn:
    print(problem, file=sys.stderr)
    sys.exit(WRONG_SETTINGS)


def _setting_name(item: ErrorDetails) -> str:
    return f"LLMOS_{item['loc'][0]}".upper() if item["loc"] else "settings"


def _say_ready() -> None:
    """Tell the supervisor, if there is one, that the first page can be had."""
    told_fd = os.environ.pop("LLMOS_READY_FD", None)
    if told_fd is not None:
        os.write(int(told_fd), b"1")
        os.close(int(told_fd))


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "factory": True,
        "interface": Interfaces.ASGI,
        "address": settings.host,
        "port": settings.port,
        "backpressure": 1024,
        "log_access": False,
        "websockets": True,
    }


async def _serve_here(settings: Settings) -> bool:
    """Serve until told to stop; False when the server ended of itself."""
    from granian.server.embed import Server

    from llmos.app.asgi import create_app

    def make_app() -> ASGIApp:
        app = create_app()
        loop.call_later(0.05, _say_ready)  # it listens as soon as it has the application
        return app

    loop = asyncio.get_running_loop()
    server: Any = Server(make_app, **_options(settings))
    told: list[bool] = []

    def stop() -> None:
        told.append(True)
        server.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    loop.call_later(SETTLE_AFTER_S, settle)
    await server.serve()
    return bool(told)


def _serve_with_workers(settings: Settings) -> None:
    from granian import Granian
    from granian.constants import RuntimeModes

    gc.enable()
    _say_ready()
    Granian(
        "llmos.app.asgi:create_app",
        workers=settings.web_workers,
        # A worker that is told to stop while it starts does not hear it.
        workers_kill_timeout=STOP_WORKERS_AFTER_S,
        # One Rust thread beside Python's: measured a third faster on ranges (docs/lab/LOG.md).
        runtime_mode=RuntimeModes.st,
        **_options(settings),
    ).serve()


if __name__ == "__main__":
    main()
