"""`llmos train`."""

from __future__ import annotations

from pathlib import Path

import click

from llmos.cli.context import json_option, refusals_as_messages


@click.command("train")
@click.argument("recipe", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--objective", help="What is learnt: clm, mlm, seq2seq, sft, dpo, classify, tag, qa, …")
@click.option(
    "--data", multiple=True, metavar="FILE", help="Files, patterns or dataset:ada/poems; repeatable."
)
@click.option("--base", help="A folder or model to go on from; without it a new model is made.")
@click.option(
    "--family", help="Of a new model: llama, gpt2, qwen, bert, roberta, xlm-roberta, albert, t5, bart."
)
@click.option("--preset", help="Size of a new model: nano, tiny, small, base, medium, large.")
@click.option("--max-minutes", type=float, help="Stop after so many minutes.")
@click.option("--max-steps", type=int, help="Stop after so many steps.")
@click.option("--max-epochs", type=float, help="Stop after so many passes over the data.")
@click.option("--lora", is_flag=True, help="Tune small matrices beside the frozen base.")
@click.option(
    "--output", type=click.Path(path_type=Path), default=Path("output"), help="Folder of the model."
)
@click.option("--push", metavar="NAME", help="Commit the model to this repository, as ada/tiny-llm.")
@click.option("--dry-run", is_flag=True, help="Print size, memory, tokens and time, and do not train.")
@click.option(
    "--defaults/--no-defaults",
    default=True,
    help="Print every default with its reason first, unless --json.",
)
@json_option
@refusals_as_messages
def command(
    *,
    recipe: Path | None,
    objective: str | None,
    data: tuple[str, ...],
    base: str | None,
    family: str | None,
    preset: str | None,
    max_minutes: float | None,
    max_steps: int | None,
    max_epochs: float | None,
    lora: bool,
    output: Path,
    push: str | None,
    dry_run: bool,
    defaults: bool,
    as_json: bool,
) -> None:
    """Train a model by RECIPE (a file, or the name of one that comes along: quickstart), or by one written
    from the options. Options beside a recipe are said in place of what it says.

    The same command again goes on from the newest checkpoint in the output folder.
    """
    from llmos.cli.lab_process import run_lab
    from llmos.lab.recipes.json_schema import for_editors
    from llmos.lab.recipes.load import dump_recipe, load_recipe
    from llmos.lab.recipes.write import Options, from_options, with_options
    from llmos.lab.samples import RECIPES

    if (recipe is None) == (objective is None):
        shipped = ", ".join(RECIPES)
        raise click.UsageError(
            f"Name a recipe (a file, or {shipped}), or write one with --objective and --data."
        )
    if recipe is not None and not recipe.exists():
        if str(recipe) not in RECIPES:
            raise click.UsageError(
                f"There is no file {recipe}; a recipe that comes along: {', '.join(RECIPES)}."
            )
        recipe = RECIPES[str(recipe)]
    options = Options(base, family, preset, max_minutes, max_steps, lora, push, max_epochs)
    written = None
    if recipe is None:
        written = from_options(objective=objective or "", data=data, options=options, root=Path.cwd())
    elif data or any(vars(options).values()) or recipe in RECIPES.values():
        written = with_options(
            load_recipe(recipe), folder=recipe.resolve().parent, root=Path.cwd(), data=data, options=options
        )
    if written is not None:
        output.mkdir(parents=True, exist_ok=True)
        recipe = output / "recipe.yaml"
        text = for_editors(dump_recipe(written))
        recipe.write_text(text, encoding="utf-8")
        if not as_json:
            click.echo(text)
    arguments = ["run", str(recipe), "--output", str(output)]
    arguments += ["--dry-run"] * dry_run + ["--json"] * as_json + ["--defaults"] * (defaults and not as_json)
    raise SystemExit(run_lab(arguments))
