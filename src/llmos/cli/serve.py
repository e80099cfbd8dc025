"""`llmos serve`."""

from __future__ import annotations

import click


@click.command("serve")
def command() -> None:
    """Start the web process alone; `llmos up` starts the worker too."""
    from llmos.app.serve import main

    main()
