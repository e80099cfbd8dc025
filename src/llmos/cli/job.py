"""`llmos job …`: jobs of this instance, whoever they belong to."""

from __future__ import annotations

from typing import Any

import click

from llmos.cli.context import (
    json_option,
    open_cli_runtime,
    print_json,
    print_table,
    refusals_as_messages,
    when,
)

STATES = ["waiting", "queued", "preparing", "running", "succeeded", "failed", "canceled", "timed_out"]


@click.group("job")
def command() -> None:
    """Jobs: commands and trainings that runners carry out."""


@command.command("list")
@click.option("--state", "states", type=click.Choice(STATES), multiple=True, help="Only these.")
@click.option("--owner", help="Only those of this person or organisation.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many.")
@json_option
@refusals_as_messages
def list_command(*, states: tuple[str, ...], owner: str | None, limit: int, as_json: bool) -> None:
    """List jobs, newest first."""
    from sqlalchemy import select

    from llmos.core.names import name_key
    from llmos.features.accounts.models import Namespace
    from llmos.features.jobs.models import Job

    statement = select(Job).order_by(Job.id.desc()).limit(limit)
    if states:
        statement = statement.where(Job.state.in_(states))
    if owner:
        statement = statement.join(Job.namespace).where(Namespace.name_key == name_key(owner))
    with open_cli_runtime() as rt, rt.database.reading() as db:
        rows = [_facts(job) for job in db.scalars(statement).unique()]
    if as_json:
        print_json(rows)
        return
    print_table(
        [
            [row["id"], row["owner"], row["title"][:40], row["state"], row["attempt"], when(row["createdAt"])]
            for row in rows
        ],
        ["id", "owner", "what", "state", "attempt", "sent"],
    )


@command.command("show")
@click.argument("job_id")
@json_option
@refusals_as_messages
def show(job_id: str, as_json: bool) -> None:
    """Say what JOB_ID is, in which state, and what each attempt came to."""
    from llmos.features.jobs.queries import list_attempts

    with open_cli_runtime() as rt, rt.database.reading() as db:
        job = _access(db, job_id)
        facts = _facts(job) | {"spec": job.spec, "energyWh": job.energy_wh, "results": job.results or []}
        attempts: list[dict[str, Any]] = [
            {
                "number": one.number,
                "runner": one.runner_name,
                "outcome": one.outcome or "running",
                "exitCode": one.exit_code,
                "reason": one.reason,
                "startedAt": one.started_at,
                "endedAt": one.ended_at,
            }
            for one in list_attempts(db, job)
        ]
    if as_json:
        print_json(facts | {"attempts": attempts})
        return
    for key in ("id", "owner", "title", "kind", "state", "reason"):
        click.echo(f"{key}: {facts[key]}")
    click.echo(f"energy: {facts['energyWh']:.4g} Wh")
    print_table(
        [
            [
                a["number"],
                a["runner"],
                a["outcome"],
                a["reason"][:60],
                when(a["startedAt"]),
                when(a["endedAt"]),
            ]
            for a in attempts
        ],
        ["attempt", "runner", "outcome", "reason", "began", "ended"],
    )


@command.command("logs")
@click.argument("job_id")
@refusals_as_messages
def logs(job_id: str) -> None:
    """Print all that JOB_ID has written so far."""
    from llmos.features.jobs.streams import all_text

    with open_cli_runtime() as rt, rt.database.reading() as db:
        for text in all_text(db, _access(db, job_id).id):
            click.echo(text, nl=False)


@command.command("cancel")
@click.argument("job_id")
@json_option
@refusals_as_messages
def cancel(job_id: str, as_json: bool) -> None:
    """Stop JOB_ID: at once if it waits, else as soon as its runner hears of it."""
    from llmos.features.accounts.actor import OPERATOR
    from llmos.features.jobs import service

    with open_cli_runtime() as rt, rt.database.writing() as db:
        job = _access(db, job_id)
        service.cancel(db, OPERATOR, job)
        state = job.state
    if as_json:
        print_json({"id": job_id, "state": state})
    else:
        click.echo(f"Job {job_id} is {state}." if state == "canceled" else f"Job {job_id} is asked to stop.")


def _access(db: Any, job_id: str) -> Any:
    from sqlalchemy import select

    from llmos.core.errors import NotFound
    from llmos.features.jobs.models import Job

    job = db.scalars(select(Job).where(Job.object_id == job_id)).unique().one_or_none()
    if job is None:
        raise NotFound(f"There is no job {job_id!r}: `llmos job list` shows them.")
    return job


def _facts(job: Any) -> dict[str, Any]:
    return {
        "id": job.object_id,
        "owner": job.namespace.name,
        "title": job.title,
        "kind": job.kind,
        "state": job.state,
        "reason": job.reason,
        "attempt": job.attempt,
        "createdAt": job.created_at,
        "startedAt": job.started_at,
        "finishedAt": job.finished_at,
    }
