"""`llmos config`."""

from __future__ import annotations

import click

from llmos.cli.context import json_option, print_json, print_table

SECRET_FIELDS = {"secret_key", "storage_secret_key", "database_url", "smtp_url"}


@click.group("config")
def command() -> None:
    """Look at the settings."""


@command.command("show")
@json_option
def show(as_json: bool) -> None:
    """Print each setting, its value and where it came from; secrets are hidden."""
    from llmos.infra.settings import get_settings, settings_sources

    rows = []
    for name, (value, source) in settings_sources(get_settings()).items():
        shown = "(hidden)" if name in SECRET_FIELDS and value else value
        rows.append({"name": f"LLMOS_{name.upper()}", "value": shown, "source": source})
    if as_json:
        print_json(rows)
    else:
        print_table([[r["name"], "" if r["value"] is None else r["value"], r["source"]] for r in rows],
                    ["setting", "value", "from"])  # fmt: skip
