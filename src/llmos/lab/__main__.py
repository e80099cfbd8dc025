"""`python -m llmos.lab run recipe.yaml`: one training or evaluation in a process of its own, or a model
that answers (`serve`).

Exit codes: 0 done, 1 the run stopped early with what it had learnt or asked saved, 2 the recipe, its data
or its model cannot be used. Messages go to the terminal, events to `--events`.
"""

from __future__ import annotations

import argparse
import errno
import gc
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from llmos.core.errors import LlmosError
from llmos.lab.inputs import is_laid_out
from llmos.lab.train.device import ENVIRONMENT, describe_machine
from llmos.lab.train.errors import exit_code

if TYPE_CHECKING:
    from llmos.lab.recipes.schema import Recipe


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    # Read when torch starts its threads: too late once it is imported.
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        return _COMMANDS[options.command](options)
    except LlmosError as error:
        if options.as_json:
            print(json.dumps({"error": error.message, "code": error.code, **error.data}, ensure_ascii=False))
        print(error.message, file=sys.stderr)
        return exit_code(error.code)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        place = error.filename or options.output
        print(
            f"There is no room left on the disk ({place}). Make some, or name another --output, and run the "
            "same command again: it goes on from the last whole checkpoint.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("Stopped. Run the same command again to go on from what was saved.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m llmos.lab")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="train a recipe")
    run.add_argument("recipe", type=Path)
    run.add_argument("--output", type=Path, default=Path("output"), help="folder of the model (output)")
    run.add_argument("--events", help="file, or number of an open descriptor, for job events")
    run.add_argument("--resume", type=Path, help="checkpoint, or folder of checkpoints, to go on from")
    run.add_argument("--dry-run", action="store_true", help="say what would be done, and do not train")
    run.add_argument("--json", dest="as_json", action="store_true", help="end with the metrics as JSON")
    run.add_argument("--defaults", action="store_true", help="print every default with its reason")
    ask = commands.add_parser("evaluate", help="measure a model by a recipe with `evaluation:`")
    ask.add_argument("recipe", type=Path)
    ask.add_argument(
        "--output", type=Path, default=Path("evaluation"), help="folder of the bundle (evaluation)"
    )
    ask.add_argument("--events", help="file, or number of an open descriptor, for job events")
    ask.add_argument("--json", dest="as_json", action="store_true", help="end with the metrics as JSON")
    ask.add_argument("--quiet", action="store_true", help="say nothing but what went wrong")
    serve = commands.add_parser("serve", help="answer calls for one model over a channel")
    serve.add_argument("--model", type=Path, required=True, help="folder of the model")
    serve.add_argument("--base", type=Path, help="folder of the model that an adapter in --model changes")
    serve.add_argument("--channel", type=int, help="number of an open socket for frames")
    serve.add_argument("--stdio", action="store_true", help="frames over stdin and stdout instead")
    serve.add_argument("--spec", default="{}", help="JSON of an EngineSpec")
    serve.set_defaults(as_json=False, output=None)
    find = commands.add_parser("search", help="try variants of a recipe")
    find.add_argument("recipe", type=Path)
    find.add_argument("--output", type=Path, default=Path("search"), help="folder of best.yaml (search)")
    find.add_argument("--trials", type=int, default=12, help="how many variants (12)")
    find.add_argument("--max-minutes", type=float, help="for all trials together")
    find.add_argument("--field", action="append", default=[], help="FIELD=LOW..HIGH or FIELD=A,B,C")
    find.add_argument("--events", help="file, or number of an open descriptor, for job events")
    find.add_argument("--json", dest="as_json", action="store_true", help="end with the trials as JSON")
    rivals = commands.add_parser("tokenizers", help="compare tokenizers; torch is not imported")
    rivals.add_argument("given", nargs="*", help="folders, files or models with a tokenizer.json")
    rivals.add_argument("--data", action="append", required=True, help="files, patterns, data sets")
    rivals.add_argument("--type", dest="kinds", action="append", help="trained on the data (all three)")
    rivals.add_argument("--vocab-size", type=int, default=8192, help="of the trained ones (8192)")
    rivals.add_argument("--given-only", action="store_true", help="train none")
    rivals.add_argument("--json", dest="as_json", action="store_true", help="print the figures as JSON")
    rivals.set_defaults(output=None)
    return parser


@contextmanager
def _importing() -> Iterator[None]:
    """Libraries make objects that stay: looking through them again and again costs a sixth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _evaluate(options: argparse.Namespace) -> int:
    from llmos.lab.evaluate.recipe import read_recipe
    from llmos.lab.events import Reporter

    recipe = read_recipe(options.recipe)
    # `run` has no --quiet: who runs jobs reads the log.
    quiet = options.as_json or getattr(options, "quiet", False)
    with Reporter(events=options.events, quiet=quiet) as reporter:
        with _importing():
            from llmos.lab.evaluate.lm_eval_run import evaluate_catalogue, is_of_catalogue
            from llmos.lab.evaluate.run import evaluate

        way = evaluate_catalogue if is_of_catalogue(recipe) else evaluate
        result = way(recipe, options.output, reporter, root=options.recipe.resolve().parent)
        if options.as_json:
            print(json.dumps(result.to_json(), ensure_ascii=False))
    return 0


def _check(options: argparse.Namespace) -> int:
    from llmos.lab.evaluate.contamination_run import run_check
    from llmos.lab.events import Reporter

    with Reporter(events=options.events, quiet=options.as_json) as reporter:
        found = run_check(options.recipe, options.output, reporter)
        if options.as_json:
            print(json.dumps(found, ensure_ascii=False))
    return 0


def _run(options: argparse.Namespace) -> int:
    from llmos.lab.evaluate.contamination_run import does_check
    from llmos.lab.evaluate.recipe import does_evaluate

    if does_evaluate(options.recipe):
        return _evaluate(options)
    if does_check(options.recipe):
        return _check(options)
    from llmos.lab.events import Reporter
    from llmos.lab.recipes.load import load_recipe
    from llmos.lab.recipes.resolve import say_defaults

    recipe = load_recipe(options.recipe)
    # Of several processes (torchrun) the first one speaks.
    is_first = os.environ.get("RANK", "0") == "0"
    events = options.events if is_first else None
    with Reporter(events=events, quiet=options.as_json or not is_first) as reporter:
        if options.defaults:
            say_defaults(recipe, reporter)
        root = options.recipe.resolve().parent
        if options.dry_run:
            from llmos.lab.train.estimate import estimate

            found = estimate(recipe, reporter, root=root)
            print(json.dumps(found.to_json()) if options.as_json else found.describe())
            return 0
        _check_push(recipe)
        with _importing():
            # Said before the libraries of training are imported, which takes seconds more.
            reporter.say(describe_machine())
            from llmos.lab.train.run import train

        result = train(recipe, options.output, reporter, root=root, resume=options.resume)
        if options.as_json and is_first:
            print(json.dumps(result.to_json(), ensure_ascii=False))
    return 0


def _search(options: argparse.Namespace) -> int:
    from llmos.lab.events import Reporter
    from llmos.lab.recipes.load import load_recipe

    recipe = load_recipe(options.recipe)
    with Reporter(events=options.events, quiet=options.as_json) as reporter:
        from llmos.lab.train.search import parse_span, search

        found = search(
            recipe,
            options.output,
            reporter,
            root=options.recipe.resolve().parent,
            trials=options.trials,
            max_minutes=options.max_minutes,
            spans=dict(parse_span(text) for text in options.field) or None,
        )
        if options.as_json:
            print(json.dumps(found.to_json(), ensure_ascii=False))
        else:
            reporter.say(found.describe())
            reporter.say(f"Train the best with: llmos train {found.best}")
    return 0


def _compare_tokenizers(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from llmos.lab.tokenizers.compare import as_table
    from llmos.lab.tokenizers.contest import KINDS, contest
    from llmos.lab.train.places import cache_folder

    found = contest(
        options.data,
        options.given,
        kinds=() if options.given_only else options.kinds or KINDS,
        vocab_size=options.vocab_size,
        cache=cache_folder(),
        root=Path.cwd(),
        say=lambda text: print(text, file=sys.stderr),
    )
    if options.as_json:
        print(json.dumps([asdict(one) for one in found], ensure_ascii=False))
    else:
        print(as_table(found))
    return 0


def _serve(options: argparse.Namespace) -> int:
    from pydantic import ValidationError

    from llmos.core.errors import Unprocessable

    with _importing():
        from llmos.lab.serve.engine import serve
    from llmos.wire.serving import EngineSpec

    if (options.channel is None) == (not options.stdio):
        raise Unprocessable("Name the socket with --channel NUMBER, or take --stdio.")
    try:
        spec = EngineSpec.model_validate_json(options.spec)
    except ValidationError as error:
        first = error.errors()[0]
        raise Unprocessable(f"--spec: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error
    return serve(options.model, spec, descriptor=options.channel, base=options.base)


def _check_push(recipe: Recipe) -> None:
    """A runner publishes for its jobs, and has asked before."""
    if recipe.push.repo and not is_laid_out():
        from llmos.client.hub import Hub
        from llmos.lab.outputs.push import PATIENCE_S, check_push

        check_push(Hub(retry_for_s=PATIENCE_S), recipe.push.repo, private=recipe.push.private)


_COMMANDS = {
    "run": _run,
    "search": _search,
    "evaluate": _evaluate,
    "serve": _serve,
    "tokenizers": _compare_tokenizers,
}

if __name__ == "__main__":
    sys.exit(main())
