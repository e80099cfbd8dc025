"""`llmos restore`."""

from __future__ import annotations

from pathlib import Path

import click

from llmos.cli.context import json_option, print_json, refusals_as_messages


@click.command("restore")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--force", is_flag=True, help="Write into an LLMOS_HOME that is not empty.")
@json_option
@refusals_as_messages
def command(folder: Path, force: bool, as_json: bool) -> None:
    """Fill an empty LLMOS_HOME from the backup in FOLDER. The server must not be running."""
    from llmos.app.backup import restore
    from llmos.infra.settings import get_settings

    settings = get_settings()
    manifest = restore(settings, folder, lambda step: click.echo(f"… {step}", err=True), force=force)
    if as_json:
        print_json(manifest)
    else:
        click.echo(f"Restored the backup of {manifest['made_at']} into {settings.home}.")
