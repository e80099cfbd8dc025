"""`llmos up`."""

from __future__ import annotations

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
    from llmos.infra.settings import get_settings

    settings = get_settings()
    _check_port(settings.host, settings.port)
    # The watcher needs nothing of what was imported so far: it stays small for as long as it runs.
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "llmos.app.supervisor"])


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
