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
    # The watcher imports nothing of the server and stays small; the web process refuses wrong settings.
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "llmos.app.supervisor"])
