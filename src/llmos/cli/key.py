"""`llmos key`."""

from __future__ import annotations

import click

from llmos.cli.context import json_option, print_json, refusals_as_messages


@click.group("key")
def command() -> None:
    """The key this instance signs evaluation records with."""


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
