"""`llmos eval`."""

from __future__ import annotations

import click

from llmos.cli.eval_contamination import contamination
from llmos.cli.eval_run import run
from llmos.cli.eval_verify import rerun, verify


@click.group("eval")
def command() -> None:
    """Evaluate models, and check records of evaluations."""


command.add_command(run)
command.add_command(verify)
command.add_command(rerun)
command.add_command(contamination)
