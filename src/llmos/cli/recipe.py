"""`llmos recipe`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click

from llmos.cli.context import json_option, refusals_as_messages


@click.group("recipe")
def command() -> None:
    """Recipes say how a model is made."""


@command.command("new")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), default=Path("recipe.yaml"))
@refusals_as_messages
def new(*, path: Path) -> None:
    """Ask a few questions and write a recipe to PATH."""
    from llmos.lab.recipes.json_schema import for_editors
    from llmos.lab.recipes.load import dump_recipe
    from llmos.lab.recipes.schema import FAMILY_OF, Objective, Preset
    from llmos.lab.recipes.write import OBJECTIVES, Options, from_options

    for name, what in OBJECTIVES.items():
        click.echo(f"  {name:<10} {what}")
    objective = click.prompt("What is to be learnt", type=click.Choice(get_args(Objective)), default="clm")
    data = click.prompt("Files, patterns, or dataset:ada/poems (blanks between)", default="data/*.txt")
    options: dict[str, Any] = {}
    base = click.prompt("A model to go on from (empty: a new one)", default="", show_default=False)
    if base:
        options["base"] = base
        options["lora"] = click.confirm("Tune small matrices only (LoRA)", default=True)
    else:
        families = click.Choice(FAMILY_OF[objective])
        options["family"] = click.prompt("Architecture", type=families, default=FAMILY_OF[objective][0])
        options["preset"] = click.prompt("Size", type=click.Choice(get_args(Preset)), default="tiny")
    options["max_minutes"] = click.prompt("Minutes it may take", type=float, default=5.0)
    push = click.prompt("Repository to push to (empty: none)", default="", show_default=False)
    written = from_options(
        objective=objective, data=tuple(data.split()), options=Options(push=push or None, **options)
    )
    if path.exists():
        click.confirm(f"{path} is there already. Write over it", abort=True)
    path.write_text(for_editors(dump_recipe(written)), encoding="utf-8")
    click.echo(f"Wrote {path}. Train it with: llmos train {path}")


@command.command("check")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@refusals_as_messages
def check(*, path: Path) -> None:
    """Say what is wrong with a recipe, or every default with its reason."""
    from llmos.lab.recipes.load import load_recipe
    from llmos.lab.recipes.resolve import describe, resolve

    click.echo(describe(resolve(load_recipe(path))[1]))


@command.command("search")
@click.argument("path", metavar="RECIPE", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--trials", type=click.IntRange(1, 1000), default=12, help="How many variants.")
@click.option("--max-minutes", type=float, help="For all trials together; else each as the recipe says.")
@click.option("--field", multiple=True, metavar="FIELD=LOW..HIGH", help="Or FIELD=A,B,C; repeatable.")
@click.option(
    "--output", type=click.Path(path_type=Path), default=Path("search"), help="Folder of best.yaml."
)
@json_option
@refusals_as_messages
def search(
    *,
    path: Path,
    trials: int,
    max_minutes: float | None,
    field: tuple[str, ...],
    output: Path,
    as_json: bool,
) -> None:
    """Try variants of RECIPE and write the best one.

    Without --field, learning rate and batch are tried (and the rank of an adapter). The first trial is
    the recipe as it stands.
    """
    from llmos.cli.lab_process import run_lab
    from llmos.lab.samples import RECIPES

    path = path if path.exists() else RECIPES.get(str(path), path)
    words = ["search", str(path), "--output", str(output), "--trials", str(trials)]
    words += ["--max-minutes", str(max_minutes)] if max_minutes is not None else []
    words += [word for one in field for word in ("--field", one)]
    raise SystemExit(run_lab(words + ["--json"] * as_json))


@command.command("schema")
def schema() -> None:
    """Print the JSON schema of recipes, for editors."""
    from llmos.lab.recipes.json_schema import schema_text

    click.echo(schema_text(), nl=False)
