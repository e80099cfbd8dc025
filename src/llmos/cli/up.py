"""`llmos up`."""

from __future__ import annotations

import os
import sys

import click


@click.command("up")
def command() -> None:
    """Start the web process and the worker, and keep them running.

    Prints the address and, until there is an admin, a one-time link that claims the admin
    account. The training side installs behind it unless LLMOS_EXTRAS=hub.
    """
    from llmos.infra.settings import get_settings
    from llmos.infra.web.ports import port_problem

    settings = get_settings()
    if problem := port_problem(settings.host, settings.port):
        sys.exit(problem)
    # The watcher needs nothing of what was imported so far: it stays small for as long as it runs.
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "llmos.app.supervisor"])
