"""`llmos eval verify` and `llmos eval rerun`: both need no server, no network and no LLMOS_HOME."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, ParamSpec, TypeVar

import click

from llmos.cli.context import json_option, print_json

if TYPE_CHECKING:
    from llmos.records.keys import PublicKey

P = ParamSpec("P")
R = TypeVar("R")

FOLDER = click.Path(path_type=Path)


def _unreadable_ends_with_2(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: what cannot be read is one line and exit code 2; 1 is kept for what was changed."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        from llmos.core.errors import LlmosError
        from llmos.records.report import printable

        try:
            return function(*args, **kwargs)
        except (LlmosError, OSError) as error:
            message = printable(str(error))
            code = error.code if isinstance(error, LlmosError) else "Unreadable"
            _fail(message, code, as_json=bool(kwargs.get("as_json")))

    return run


def _fail(message: str, code: str, *, as_json: bool) -> NoReturn:
    if as_json:
        click.echo(json.dumps({"good": False, "error": message, "code": code}, ensure_ascii=False))
    else:
        click.echo(f"Error: {message}", err=True)
    raise SystemExit(2)


@click.command("verify")
@click.argument("bundle", type=FOLDER)
@click.option(
    "--key",
    "key_files",
    type=FOLDER,
    multiple=True,
    required=True,
    help="Public key (PEM) of who may have signed; repeatable.",
)
@click.option("--model", type=FOLDER, help="Folder of the model, to check its files too.")
@click.option("--data", type=FOLDER, help="Folder or file of the benchmark's data, to check its rows too.")
@json_option
@_unreadable_ends_with_2
def verify(
    *, bundle: Path, key_files: tuple[Path, ...], model: Path | None, data: Path | None, as_json: bool
) -> None:
    """Check the evaluation record in the folder BUNDLE, and name whatever was changed.

    Without --model and --data the places are tried that the record names, if they are on this machine.
    Ends with 0 when all is as it was signed, 1 when something was changed or not signed by one of the
    keys, 2 when there is nothing that can be read.
    """
    from llmos.records.verify import verify_bundle

    keys = [key for path in key_files for key in _read_keys(path)]
    report = verify_bundle(bundle, keys, model_dir=model, data_dir=data, use_places=True)
    if as_json:
        print_json(report.to_json())
    else:
        click.echo(report.describe())
    raise SystemExit(0 if report.is_good else 1)


def _read_keys(path: Path) -> list[PublicKey]:
    from llmos.records.digests import open_regular
    from llmos.records.keys import MAX_KEY_BYTES, load_public_keys

    with open_regular(path) as file:
        return load_public_keys(file.read(MAX_KEY_BYTES + 1), name=str(path))


@click.command("rerun")
@click.argument("bundle", type=FOLDER)
@click.option("--model", metavar="DIR_OR_REPO", help="Where the model is, if not where the record says.")
@click.option("--data", metavar="PLACE", help="Where the benchmark or its data is, if not there.")
@click.option("--output", type=FOLDER, help="Folder of the new bundle. [default: BUNDLE-rerun]")
@click.option("--batch-size", type=click.IntRange(1), help="Another batch size than recorded.")
@click.option("--threads", type=click.IntRange(1), help="Another number of threads than recorded.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    default=1e-4,
    show_default=True,
    help="Largest difference of log-probabilities.",
)
@json_option
@_unreadable_ends_with_2
def rerun(
    *,
    bundle: Path,
    model: str | None,
    data: str | None,
    output: Path | None,
    batch_size: int | None,
    threads: int | None,
    tolerance: float,
    as_json: bool,
) -> None:
    """Run the evaluation in the folder BUNDLE again, and compare every sample with the record.

    Ends with 0 when all decisions, outputs and log-probabilities agree, 1 when some do not (they are
    listed), 2 when it could not be run. Check with `llmos eval verify` who signed the record.
    """
    from llmos.cli.lab_process import run_lab
    from llmos.records.bundle import dump_recipe, read_bundle
    from llmos.records.rerun import compare_bundles, recipe_again

    recipe = recipe_again(read_bundle(bundle), model=model, data=data)
    changes = {name: value for name, value in (("batch_size", batch_size), ("threads", threads)) if value}
    recipe = recipe.model_copy(update={"evaluation": recipe.evaluation.model_copy(update=changes)})
    output = output or bundle.resolve().with_name(f"{bundle.resolve().name}-rerun")
    with tempfile.TemporaryDirectory(prefix="llmos-rerun-") as folder:
        path = Path(folder) / "recipe.yaml"
        path.write_text(dump_recipe(recipe), encoding="utf-8")
        # What the lab says of itself would be in the way of our JSON.
        code = run_lab(["evaluate", str(path), "--output", str(output), *["--quiet"] * as_json])
    if code:
        raise SystemExit(code if code == 130 else 2)
    found = compare_bundles(bundle, output, tolerance=tolerance)
    if as_json:
        print_json(found.to_json())
    else:
        click.echo(found.describe())
    raise SystemExit(0 if found.agrees else 1)
