"""`llmos deploy NAME`: serve a model."""

from __future__ import annotations

from typing import Any

import click

from llmos.cli.context import fail, json_option, open_cli_runtime, print_json, refusals_as_messages
from llmos.cli.endpoint import access_person, facts_of, wait_until_ready

ENGINES = ["transformers", "llama.cpp", "vllm"]


@click.command("deploy")
@click.argument("model")
@click.option("--name", default="", help="Name of the endpoint; by default that of the model.")
@click.option("--revision", default="main", show_default=True, help="Branch or commit.")
@click.option("--pin", is_flag=True, help="Keep serving that commit; otherwise the branch is followed.")
@click.option("--replicas", type=click.IntRange(1, 16), default=1, show_default=True, help="At most so many.")
@click.option(
    "--keep", type=click.IntRange(0, 16), default=0, show_default=True, help="Keep so many running always."
)
@click.option("--engine", type=click.Choice(ENGINES), help="By default chosen by the files of the model.")
@click.option("--task", help="By default what the model is made for.")
@click.option(
    "--gpus", type=click.IntRange(0, 16), default=0, show_default=True, help="GPUs for each; 0: processors."
)
@click.option("--idle-seconds", type=click.IntRange(0), default=0, help="Sleeps after; 0: as the site says.")
@click.option(
    "--access",
    type=click.Choice(["public", "members", "named"]),
    default="public",
    show_default=True,
    help="Who may call it: whoever may read the model, members of its owner, or those of --allow, too.",
)
@click.option("--allow", "allowed", multiple=True, metavar="NAME", help="A person or organisation.")
@click.option("--as", "person", metavar="NAME", help="Who deploys it. [default: its owner, or an admin]")
@click.option("--wait", "waits", is_flag=True, help="Return when it is ready, or does not start.")
@json_option
@refusals_as_messages
def command(
    *,
    model: str,
    name: str,
    revision: str,
    pin: bool,
    replicas: int,
    keep: int,
    engine: str | None,
    task: str | None,
    gpus: int,
    idle_seconds: int,
    access: str,
    allowed: tuple[str, ...],
    person: str | None,
    waits: bool,
    as_json: bool,
) -> None:
    """Serve MODEL (namespace/name) on a running instance; it answers at /v1 by its name."""
    from llmos.core.names import split_repo_name
    from llmos.core.repo_types import RepoType
    from llmos.features.endpoints.service import create_endpoint
    from llmos.features.repos.policy import access_repo

    body: dict[str, Any] = {
        "revision": revision,
        "pin": pin,
        "max_replicas": max(replicas, keep),
        "access": access,
    }
    body |= {"min_replicas": keep, "allowed": list(allowed), "idle_s": idle_seconds, "gpus": gpus}
    body |= {key: value for key, value in (("engine", engine), ("task", task)) if value}
    with open_cli_runtime() as rt:
        with rt.database.writing() as db:
            actor = access_person(db, person, model.partition("/")[0])
            repo = access_repo(db, actor, RepoType.MODEL, *split_repo_name(model))
            made = create_endpoint(db, rt, actor, repo, name=name, body=body)
            object_id, shown = made.object_id, made.shown_name
        facts = wait_until_ready(rt, object_id) if waits else facts_of(rt, object_id)
    if as_json:
        print_json(facts)
    elif waits and facts["state"] != "ready":
        fail(f"{shown} did not start: {facts['problem'] or facts['state']}")
    else:
        click.echo(f"{model} is {facts['state']} as the endpoint {shown}. Call it at /v1 by that name.")
