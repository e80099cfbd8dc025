"""The top of the command: which nouns there are and where each lives."""

from __future__ import annotations

import importlib

import click

# Name -> (attribute "module:object" below llmos.cli, one line of help). One line registers a command.
COMMANDS: dict[str, tuple[str, str]] = {
    "user": ("user:user", "People: create, list, disable, enable, reset-link."),
    "org": ("org:org", "Organisations: create, list, add-member, remove-member."),
    "token": ("token:token", "Access tokens: create, list, revoke."),
}


class LazyCommands(click.Group):
    """A group that imports a command's module only when that command runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry[0].partition(":")
        command: click.Command = getattr(importlib.import_module(f"llmos.cli.{module}"), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.command(cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="llmos", prog_name="llmos")
def llmos() -> None:
    """LLMOS: a self-hosted home for an open language-model community.

    Commands work on the folder LLMOS_HOME (default ./var) and may be used while the server runs.
    """
