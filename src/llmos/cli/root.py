"""The top of the command: which nouns there are and where each lives."""

from __future__ import annotations

import importlib

import click

# One line registers a command: the object `command` of the module of that name, and its help.
COMMANDS = {
    "up": "Start everything and keep it running.",
    "serve": "The web process alone.",
    "user": "People: create, list, disable, enable, reset-link.",
    "org": "Organisations: create, list, add-member, remove-member.",
    "token": "Access tokens: create, list, revoke.",
    "repo": "Repositories: list, create, move, delete, restore.",
    "job": "Jobs: list, show, logs, cancel.",
    "deploy": "Serve a model: it answers at /v1 by its name.",
    "endpoint": "What is served: list, show, pause, resume, delete.",
    "runner": "Runners: start one here; register, list, drain, remove.",
    "config": "The settings and where each comes from.",
    "doctor": "Check the instance, and mend it with --repair.",
    "backup": "Write a backup to a folder.",
    "restore": "Bring a backup back.",
    "quickstart": "From a text to a trained, scored and served model.",
    "demo": "Content to be asked for: smollm2.",
    "train": "Train a model by a recipe, or by one line.",
    "recipe": "Training recipes: new, check, search, schema.",
    "tokenizer": "Tokenizers: compare.",
    "eval": "Evaluations: run, verify, rerun.",
    "key": "The key this instance signs with: show.",
    "convert": "Turn LFS uploads into deduplicated chunks.",
    "gc": "Remove large objects that nothing refers to.",
    "reindex": "Rebuild what is derived from the repositories.",
}


class LazyCommands(click.Group):
    """A group that imports a command's module only when that command runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"llmos.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command("llmos", cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="llmos", prog_name="llmos")
def main() -> None:
    """LLMOS: a self-hosted home for an open language-model community.

    Commands work on the folder LLMOS_HOME (default ./var) and may be used while the server runs.
    """
