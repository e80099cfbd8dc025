"""The web process: `python -m llmos.app.serve`, as the supervisor and the tests start it."""

from __future__ import annotations

import logging

from granian import Granian
from granian.constants import Interfaces

from llmos.app.schema import ensure_schema
from llmos.infra.runtime import open_runtime
from llmos.infra.settings import Settings, get_settings


def prepare(settings: Settings) -> None:
    """Bring the database to the current schema before any worker answers."""
    runtime = open_runtime(settings)
    ensure_schema(runtime)
    runtime.close()


def main() -> None:
    settings = get_settings()
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    prepare(settings)
    Granian(
        "llmos.app.asgi:create_app",
        factory=True,
        interface=Interfaces.ASGI,
        address=settings.host,
        port=settings.port,
        workers=settings.web_workers,
        backpressure=1024,
        log_access=False,
        websockets=False,
    ).serve()


if __name__ == "__main__":
    main()
