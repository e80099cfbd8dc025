"""`llmos backup`."""

from __future__ import annotations

from pathlib import Path

import click

from llmos.cli.context import json_option, open_cli_runtime, print_json, refusals_as_messages


@click.command("backup")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--no-objects", is_flag=True, help="Leave large objects out (a bucket that is backed up itself)."
)
@json_option
@refusals_as_messages
def command(folder: Path, no_objects: bool, as_json: bool) -> None:
    """Copy database, git, objects and secrets into FOLDER while the server runs.

    A second backup into the same folder copies only what is new.
    """
    from llmos.app.backup import backup

    with open_cli_runtime() as rt:
        manifest = backup(
            rt, folder, lambda step: click.echo(f"… {step}", err=True), with_objects=not no_objects
        )
    if as_json:
        print_json(manifest)
    else:
        click.echo(f"Backup finished in {folder} ({manifest['objects_copied']} new objects).")
