"""The web process: `python -m llmos.app.serve`, as the supervisor and the tests start it.

The parent stays small: only the workers it starts import the application, and each brings the
database to the current schema before it answers (the first one does, the others wait).
"""

from __future__ import annotations

import logging

from granian import Granian
from granian.constants import Interfaces, RuntimeModes

from llmos.infra.settings import get_settings


def main() -> None:
    settings = get_settings()
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    Granian(
        "llmos.app.asgi:create_app",
        factory=True,
        interface=Interfaces.ASGI,
        address=settings.host,
        port=settings.port,
        workers=settings.web_workers,
        # One Rust thread beside Python's: measured a third faster on ranges (docs/lab/LOG.md).
        runtime_mode=RuntimeModes.st,
        backpressure=1024,
        log_access=False,
        websockets=False,
    ).serve()


if __name__ == "__main__":
    main()
