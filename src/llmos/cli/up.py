"""`llmos up`."""

from __future__ import annotations

import logging
import os
import socket
import sys

import click


@click.command("up")
def command() -> None:
    """Start the web process and the worker, and keep them running.

    Prints the address and, until there is an admin, a one-time link that claims the admin
    account. The training side installs behind it unless LLMOS_EXTRAS=hub.
    """
    from llmos.app.supervisor import Supervisor, python_part
    from llmos.infra.settings import get_settings

    settings = get_settings()
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    _check_port(settings.host, settings.port)
    parts = [
        python_part("web", "llmos.app.serve"),
        python_part("worker", "llmos.app.worker"),
        # Prints the address once the web process answers; in a process of its own so that the
        # supervisor stays small.
        python_part("greeting", "llmos.app.greeting", once=True),
    ]
    if os.environ.get("LLMOS_EXTRAS", "all") != "hub":
        parts.append(python_part("training side", "llmos.app.install_lab", once=True))
    Supervisor(parts).run()


def _check_port(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            click.echo(
                f"Error: cannot listen on {host}:{port} ({error.strerror}). Is LLMOS running already? "
                "Choose another port by LLMOS_PORT.",
                err=True,
            )
            sys.exit(1)
