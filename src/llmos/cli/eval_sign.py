"""Signs a record with the key of this machine's instance, and writes it into its log."""

from __future__ import annotations

from pathlib import Path

import click


def sign_bundle_here(bundle: Path) -> str:
    """Sign it; the id of the key, which is made on first use."""
    from llmos.infra.security.instance_key import instance_key_path, load_instance_key
    from llmos.infra.settings import get_settings
    from llmos.records.bundle import sign_bundle
    from llmos.records.keys import load_private_key

    settings = get_settings()
    key = load_private_key(load_instance_key(settings), name=str(instance_key_path(settings)))
    return sign_bundle(bundle, key).signatures[0].keyid


def log_bundle_here(bundle: Path) -> int | None:
    """Its number in the log of the hub whose home is here; None where there is no hub, or it cannot be
    reached: then a line says so, for the record is good without."""
    from sqlalchemy.exc import SQLAlchemyError

    from llmos.cli.context import open_cli_runtime
    from llmos.core.errors import LlmosError
    from llmos.infra.settings import get_settings

    settings = get_settings()
    if not settings.database_url and not (settings.home / "llmos.db").is_file():
        return None
    # Tables of evaluation refer to those of other features.
    import llmos.app.tasks  # noqa: F401
    from llmos.features.evals.log import log_own_bundle

    try:
        with open_cli_runtime() as rt:
            return log_own_bundle(rt, bundle).leaf_index
    except (LlmosError, SQLAlchemyError, OSError) as error:
        click.echo(f"Not written into the log of this instance: {error}", err=True)
        return None
