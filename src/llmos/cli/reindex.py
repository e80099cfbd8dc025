"""`llmos reindex`."""

from __future__ import annotations

import click

from llmos.cli.context import json_option, open_cli_runtime, print_json, refusals_as_messages


@click.command("reindex")
@json_option
@refusals_as_messages
def command(as_json: bool) -> None:
    """Rebuild cards, tags, parameter counts and search from the git repositories."""
    from llmos.features.evals import storing as _boards  # noqa: F401  # filled with the rest
    from llmos.features.repos.indexing import reindex_all

    with open_cli_runtime() as rt:
        done, failed = reindex_all(rt)
    if as_json:
        print_json({"indexed": done, "failed": failed})
    else:
        click.echo(f"Indexed {done} repositories" + (f", {failed} failed (see the log)." if failed else "."))
