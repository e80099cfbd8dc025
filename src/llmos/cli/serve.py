"""`llmos serve`."""

from __future__ import annotations

import sys

import click


@click.command("serve")
def command() -> None:
    """Start the web process alone; `llmos up` starts the worker too."""
    from llmos.app.serve import main
    from llmos.app.supervisor import WRONG_SETTINGS

    try:
        main()
    except SystemExit as end:
        sys.exit(1 if end.code == WRONG_SETTINGS else end.code)
