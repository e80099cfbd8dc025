"""`llmos runner …`: run jobs on this machine, and look after the machines that do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from llmos.cli.context import (
    fail,
    json_option,
    open_cli_runtime,
    print_json,
    print_table,
    refusals_as_messages,
    when,
)

SCOPES = ["instance", "organization", "person", "repository"]


@click.group("runner")
def command() -> None:
    """Machines that run jobs."""


@command.command("start")
@click.option("--url", required=True, envvar="LLMOS_RUNNER_URL", help="Address of the hub.")
@click.option("--token", envvar="LLMOS_RUNNER_TOKEN", help="Token of the runner; better by --token-file.")
@click.option(
    "--token-file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="File with the token."
)
@click.option("--name", default="", help="Its name on the hub; by default this machine's.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="What jobs may ask for.")
@click.option("--jobs", type=click.IntRange(0, 16), default=0, help="Jobs at a time; 0: by the cores.")
@click.option(
    "--engines",
    type=click.IntRange(0, 8),
    default=4,
    show_default=True,
    envvar="LLMOS_SERVE_ENGINES",
    help="Models served at a time, beside the jobs; 0: none.",
)
@click.option(
    "--serve-memory",
    "serve_memory_bytes",
    type=click.IntRange(0),
    default=0,
    envvar="LLMOS_SERVE_MEMORY_BYTES",
    metavar="BYTES",
    help="Memory for all of them together; 0: 60 % of the machine's.",
)
@click.option("--serve-only", is_flag=True, help="Serve models, and take no jobs beside them.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("~/.local/share/llmos-runner"),
    show_default=True,
    help="Where caches and the files of running jobs lie.",
)
@click.option("--once", is_flag=True, help="Run one job, then end.")
@click.option(
    "--drain-seconds", type=click.FloatRange(0), default=3600.0, help="How long a stop waits for jobs."
)
@click.option(
    "--pull",
    type=click.Choice(("missing", "never", "always")),
    default="missing",
    show_default=True,
    help="When podman or docker fetches an image.",
)
@click.option(
    "--ray",
    default="",
    envvar="LLMOS_RAY_ADDRESS",
    metavar="HOST:PORT",
    help="Take trainings only, and give them to the workers of this Ray cluster.",
)
@click.option(
    "--ray-workers",
    type=click.IntRange(0),
    default=0,
    envvar="LLMOS_RAY_WORKERS",
    help="Processes of a training there; 0: one for each free GPU or two CPUs.",
)
def start(
    *,
    url: str,
    token: str | None,
    token_file: Path | None,
    name: str,
    labels: tuple[str, ...],
    jobs: int,
    engines: int,
    serve_memory_bytes: int,
    serve_only: bool,
    folder: Path,
    once: bool,
    drain_seconds: float,
    pull: str,
    ray: str,
    ray_workers: int,
) -> None:
    """Run jobs of the hub at URL on this machine until stopped.

    Needs no open port: it asks the hub. Ctrl-C lets the present job end; a second one gives it back.
    """
    import logging

    from llmos.runner.agent import AlreadyRunning, NotWelcome
    from llmos.runner.start import CannotStart, Options, build_agent, run_until_stopped

    secret = token_file.read_text().strip() if token_file else token
    if not secret:
        raise click.UsageError("Give the runner's token by --token-file, LLMOS_RUNNER_TOKEN or --token.")
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(message)s")
    home = Path(os.environ.get("LLMOS_HOME", "var")).expanduser().absolute()
    options = Options(
        url=url,
        token=secret,
        root=folder.expanduser(),
        name=name,
        labels=_parse_labels(labels),
        slots=jobs,
        once=once,
        hide=(home,),
        drain_s=drain_seconds,
        pull=pull,
        ray=ray,
        ray_workers=ray_workers,
        engines=engines,
        serve_memory_bytes=serve_memory_bytes,
        serve_only=serve_only,
    )
    try:
        run_until_stopped(build_agent(options), drain_s=drain_seconds)
    except (CannotStart, NotWelcome, AlreadyRunning, ValueError) as error:
        fail(str(error))


def _parse_labels(labels: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for label in labels:
        key, equals, value = label.partition("=")
        if not key or not equals:
            raise click.UsageError(f"{label!r} is not a label: write --label key=value.")
        found[key] = value
    return found


@command.command("register")
@click.argument("name")
@click.option("--owner", required=True, help="The person who lends the machine.")
@click.option("--scope", type=click.Choice(SCOPES), default="person", show_default=True, help="Whose jobs.")
@click.option("--target", default="", help="The organisation, or type:namespace/name of the repository.")
@click.option("--untrusted", is_flag=True, help="Only public recipes; no secrets, no private inputs.")
@json_option
@refusals_as_messages
def register(*, name: str, owner: str, scope: str, target: str, untrusted: bool, as_json: bool) -> None:
    """Register a machine called NAME and print its token, once: alone on the last line."""
    from llmos.features.accounts.actor import OPERATOR
    from llmos.features.accounts.policy import access_user
    from llmos.features.auth.credentials import actor_for_user
    from llmos.features.jobs.runners import register_runner

    with open_cli_runtime() as rt, rt.database.writing() as db:
        actor = actor_for_user(db, access_user(db, OPERATOR, owner))
        made, token = register_runner(
            db, actor, name=name, scope=scope, target=target, is_trusted=False if untrusted else None
        )
        facts: dict[str, Any] = {"id": made.object_id, "name": made.name, "trusted": made.is_trusted}
    if as_json:
        print_json({**facts, "token": token})
        return
    click.echo(f"Registered runner {facts['name']}. Its token is shown only now:", err=True)
    click.echo(token)


@command.command("list")
@json_option
@refusals_as_messages
def list_command(as_json: bool) -> None:
    """List the machines, and what each does at the moment."""
    from llmos.features.accounts.actor import OPERATOR
    from llmos.features.jobs.queries import is_online, list_runners, running_on

    with open_cli_runtime() as rt, rt.database.reading() as db:
        runners = list_runners(db, OPERATOR)
        running = running_on(db, runners)
        rows: list[dict[str, Any]] = [
            {
                "id": runner.object_id,
                "name": runner.name,
                "owner": runner.owner.name,
                "scope": runner.scope,
                "trusted": runner.is_trusted,
                "draining": runner.is_draining,
                "online": is_online(runner),
                "lastSeenAt": runner.last_seen_at,
                "jobs": [job.object_id for job in running.get(runner.id, ())],
            }
            for runner in runners
        ]
    if as_json:
        print_json(rows)
        return
    print_table(
        [
            [
                row["id"],
                row["name"],
                row["owner"],
                row["scope"],
                "yes" if row["trusted"] else "no",
                "draining" if row["draining"] else "online" if row["online"] else "away",
                len(row["jobs"]),
                when(row["lastSeenAt"]),
            ]
            for row in rows
        ],
        ["id", "name", "owner", "scope", "trusted", "state", "jobs", "last seen"],
    )


@command.command("drain")
@click.argument("runner_id")
@click.option("--off", is_flag=True, help="Give it jobs again.")
@json_option
@refusals_as_messages
def drain(runner_id: str, *, off: bool, as_json: bool) -> None:
    """Let the machine RUNNER_ID finish what it has, and give it nothing new."""
    from llmos.features.accounts.actor import OPERATOR
    from llmos.features.jobs.policy import access_runner
    from llmos.features.jobs.runners import set_draining

    with open_cli_runtime() as rt, rt.database.writing() as db:
        runner = access_runner(db, OPERATOR, runner_id)
        set_draining(db, OPERATOR, runner, is_draining=not off)
        name = runner.name
    if as_json:
        print_json({"id": runner_id, "name": name, "draining": not off})
    else:
        click.echo(f"{name} {'takes jobs again' if off else 'gets no more jobs'}.")


@command.command("remove")
@click.argument("runner_id")
@json_option
@refusals_as_messages
def remove(runner_id: str, as_json: bool) -> None:
    """Refuse the token of the machine RUNNER_ID from now on; what it runs goes on elsewhere."""
    from llmos.features.accounts.actor import OPERATOR
    from llmos.features.jobs.policy import access_runner
    from llmos.features.jobs.runners import remove_runner

    with open_cli_runtime() as rt, rt.database.writing() as db:
        runner = access_runner(db, OPERATOR, runner_id)
        remove_runner(db, OPERATOR, runner)
        name = runner.name
    if as_json:
        print_json({"id": runner_id, "name": name, "removed": True})
    else:
        click.echo(f"{name} is removed.")
