"""`llmos eval run`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click

from llmos.cli.context import json_option, print_json, refusals_as_messages
from llmos.cli.eval_sign import log_bundle_here, sign_bundle_here
from llmos.core.errors import BadRequest

FOLDER = click.Path(path_type=Path)
_REPO = re.compile(r"[\w.-]+/[\w.-]+")


@click.command("run")
@click.argument("recipe", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--model", metavar="DIR_OR_REPO", help="The model: a folder, or a repository as ada/tiny-llm.")
@click.option("--revision", help="Commit, branch or tag of the model's repository.")
@click.option("--endpoint", metavar="URL", help="Ask an OpenAI-compatible server instead of a model here.")
@click.option("--endpoint-model", metavar="NAME", help="What the server calls the model.")
@click.option("--endpoint-chat", is_flag=True, help="Ask it as a chat (it gives no likelihoods then).")
@click.option("--endpoint-key-variable", metavar="NAME", help="Environment variable that holds its key.")
@click.option("--benchmark", metavar="REPO_OR_DIR", help="A data set with an eval.yaml.")
@click.option("--task", metavar="ID", help="Which task of the benchmark; or perplexity, of --data.")
@click.option("--data", multiple=True, metavar="FILE", help="Texts for --task perplexity; repeatable.")
@click.option("--task-file", type=FOLDER, help="A task of ours or of lm-evaluation-harness, as YAML.")
@click.option(
    "--lm-eval-task", metavar="NAME", help="A task of lm-eval's own catalogue (make setup-lm-eval)."
)
@click.option("--limit", type=click.IntRange(1), help="Only the first samples.")
@click.option("--fewshot", type=click.IntRange(0), help="Examples before each question.")
@click.option("--seed", type=click.IntRange(0), help="Of examples and sampling. [default: 17]")
@click.option("--batch-size", type=click.IntRange(1), help="Questions at a time; changes no result.")
@click.option("--threads", type=click.IntRange(1), help="Threads; changes no result.")
@click.option("--max-new-tokens", type=click.IntRange(1), help="Longest answer to be written.")
@click.option("--temperature", type=click.FloatRange(0), help="0: the likeliest token, always.")
@click.option("--metric", "metrics", multiple=True, help="Measure this instead of the task's; repeatable.")
@click.option(
    "--context",
    type=click.Choice(["refuse", "truncate_left", "stride"]),
    help="What becomes of samples longer than the model reads; they are counted always.",
)
@click.option("--chat-template/--no-chat-template", default=None, help="Ask as a chat, or as plain text.")
@click.option("--bundle", type=FOLDER, help="Folder of the record. [default: evaluation/MODEL--TASK]")
@click.option("--sign/--no-sign", default=True, help="Sign the record with this instance's key.")
@click.option(
    "--log/--no-log", "in_log", default=True, help="Write it into the log too, if the hub is of this machine."
)
@json_option
@refusals_as_messages
def run(
    *, recipe: Path | None, bundle: Path | None, sign: bool, in_log: bool, as_json: bool, **options: Any
) -> None:
    """Evaluate a model, by RECIPE or by options, and leave a signed record of it.

    \b
    llmos eval run --model output --benchmark ada/tang-cloze
    llmos eval run --model ada/tiny-llm --task perplexity --data held-out.txt

    The same command again after an interruption goes on from the answers that are there.
    """
    from llmos.records.bundle import dump_recipe

    given = {name: value for name, value in options.items() if value not in (None, (), False)}
    if recipe is not None and given:
        raise click.UsageError("A recipe says all of it: leave the options away, or the recipe.")
    if recipe is None:
        written = recipe_of(options)
        bundle = bundle or Path("evaluation") / _slug(written.evaluation)
        bundle.mkdir(parents=True, exist_ok=True)
        recipe = bundle / "recipe.yaml"
        recipe.write_text(dump_recipe(written), encoding="utf-8")
    bundle = bundle or Path("evaluation") / recipe.stem
    arguments = ["evaluate", str(recipe), "--output", str(bundle)]
    _run_lab(arguments, as_json=as_json)
    keyid = sign_bundle_here(bundle) if sign else None
    index = log_bundle_here(bundle) if sign and in_log else None
    _report(bundle, keyid, index, as_json=as_json)


def recipe_of(options: dict[str, Any]) -> Any:
    """The recipe that the options say. Raises UsageError for options that do not go together."""
    from pydantic import ValidationError

    from llmos.wire.evaluation_recipe import EvaluationRecipe

    plan: dict[str, Any] = {**_model(options), **_task(options)}
    for name in ("limit", "fewshot", "seed", "batch_size", "threads", "max_new_tokens", "temperature"):
        if options[name] is not None:
            plan[name] = options[name]
    if options["metrics"]:
        plan["metrics"] = list(options["metrics"])
    if options["context"]:
        plan["context_policy"] = options["context"]
    if options["chat_template"] is not None:
        plan["chat_template"] = options["chat_template"]
    try:
        return EvaluationRecipe.model_validate({"evaluation": plan})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"][1:])
        raise BadRequest(f"{field}: {first['msg']}.") from error


def _model(options: dict[str, Any]) -> dict[str, Any]:
    if (options["model"] is None) == (options["endpoint"] is None):
        raise click.UsageError("Name a model with --model, or a server with --endpoint and --endpoint-model.")
    if options["endpoint"]:
        if not options["endpoint_model"]:
            raise click.UsageError("--endpoint needs --endpoint-model, the name the server has for it.")
        chosen = {"url": options["endpoint"], "model": options["endpoint_model"]}
        chosen |= {"kind": "chat"} if options["endpoint_chat"] else {}
        variable = options["endpoint_key_variable"]
        return {"endpoint": chosen | ({"api_key_variable": variable} if variable else {})}
    found = _place(options["model"], "--model")
    return {"model": found | ({"revision": options["revision"]} if options["revision"] else {})}


def _task(options: dict[str, Any]) -> dict[str, Any]:
    benchmark, task, file = options["benchmark"], options["task"], options["task_file"]
    catalogue = options["lm_eval_task"]
    if (
        sum(x is not None for x in (benchmark, file, catalogue))
        + (task == "perplexity" and benchmark is None)
        != 1
    ):
        raise click.UsageError(
            "Name --benchmark, or --task perplexity with --data, or --task-file, or --lm-eval-task."
        )
    if catalogue is not None:
        return {"task": {"definition": {"lm_eval_task": catalogue}}}
    if benchmark is not None:
        return {"benchmark": _place(benchmark, "--benchmark") | ({"task_id": task} if task else {})}
    files = [str(Path(name).expanduser().absolute()) for name in options["data"]]
    if file is not None:
        return {"task": {"file": str(file.absolute())} | ({"files": files} if files else {})}
    if not files:
        raise click.UsageError("--task perplexity needs --data FILE.")
    return {"task": {"kind": "perplexity", "files": files}}


def _place(name: str, option: str) -> dict[str, str]:
    """A folder here, else a repository by its name."""
    path = Path(name).expanduser()
    if path.is_dir():
        return {"path": str(path.absolute())}
    if _REPO.fullmatch(name) and not name.startswith("."):
        return {"repo": name}
    raise BadRequest(
        f"{option}: {name} is neither a folder here nor the name of a repository as ada/tiny-llm."
    )


def _slug(plan: Any) -> str:
    model = plan.endpoint.model if plan.endpoint else plan.model.repo or Path(plan.model.path).resolve().name
    if plan.benchmark:
        chosen = plan.benchmark
        task = chosen.repo or Path(chosen.path).resolve().name
        task += f"-{chosen.task_id}" if chosen.task_id else ""
    else:
        named = (plan.task.definition or {}).get("lm_eval_task")
        task = plan.task.kind or named or Path(plan.task.file).stem
    return "--".join(re.sub(r"[^\w.-]+", "-", part) for part in (model, task))


def _run_lab(arguments: list[str], *, as_json: bool) -> None:
    """Ends this process with the lab's exit code where it fails; it has said why."""
    from llmos.cli.lab_process import lab_output, run_lab

    if not as_json:
        code = run_lab(arguments)
    else:
        code, text = lab_output([*arguments, "--json"])
        if code:
            click.echo(text, nl=False)
    if code:
        raise SystemExit(code)


def _report(bundle: Path, keyid: str | None, index: int | None, *, as_json: bool) -> None:
    predicate = json.loads((bundle / "statement.json").read_text(encoding="utf-8"))["predicate"]
    if not as_json:
        signed = f"signed by {keyid[:16]}" if keyid else "not signed"
        signed += f", entry {index} of the log" if index is not None else ""
        click.echo(f"Record {predicate['record_id']}, {signed}, in {bundle}")
        return
    wanted = ("record_id", "metrics", "counts", "settings", "cost")
    print_json(
        {"bundle": str(bundle), "keyid": keyid, "log_entry": index}
        | {name: predicate[name] for name in wanted}
    )
