"""`llmos key`."""

from __future__ import annotations

from pathlib import Path

import click

from llmos.cli.context import json_option, open_cli_runtime, print_json, print_table, refusals_as_messages


@click.group("key")
def command() -> None:
    """The key this instance signs evaluation records with, and the keys of others it trusts."""


@command.command("show")
@json_option
@refusals_as_messages
def show(*, as_json: bool) -> None:
    """Print the public key, as PEM, and its name. It is made on first use.

    Give it to whoever wants to check records of this instance: llmos key show > our-key.pem
    """
    from llmos.infra.security.instance_key import instance_key_path, load_instance_key
    from llmos.infra.settings import get_settings
    from llmos.records.keys import load_private_key

    settings = get_settings()
    pem = load_instance_key(settings)
    public = load_private_key(pem, name=str(instance_key_path(settings))).public
    if as_json:
        print_json({"keyid": public.keyid, "algorithm": "ed25519", "public_key": public.to_pem()})
    else:
        # Readers of PEM skip what stands before its first line.
        click.echo(f"keyid: {public.keyid}\n{public.to_pem()}", nl=False)


@command.command("trust")
@click.argument("name")
@click.argument("pem", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--url", default="", help="Where that instance is.")
@json_option
@refusals_as_messages
def trust(*, name: str, pem: Path, url: str, as_json: bool) -> None:
    """Let records count that the instance NAME has signed; PEM is its public key.

    Results that lie here already are read again when their model is pushed to, or by `llmos reindex`.
    """
    from llmos.features.accounts.actor import OPERATOR
    from llmos.features.evals.instances import add_instance

    text = pem.read_text(encoding="utf-8", errors="replace")
    with open_cli_runtime() as rt, rt.database.writing() as db:
        keyid = add_instance(db, OPERATOR, name, url, text).keyid
    if as_json:
        print_json({"name": name, "keyid": keyid})
    else:
        click.echo(f"Records signed by {keyid[:16]} count here as of {name}.")


@command.command("trusted")
@json_option
@refusals_as_messages
def trusted(*, as_json: bool) -> None:
    """List the instances whose records count here."""
    from llmos.features.evals.instances import list_instances

    with open_cli_runtime() as rt, rt.database.reading() as db:
        found = [(one.name, one.keyid, one.url) for one in list_instances(db)]
    if as_json:
        print_json([{"name": name, "keyid": keyid, "url": url} for name, keyid, url in found])
    else:
        print_table([[name, keyid[:16], url] for name, keyid, url in found], ["name", "key", "address"])
