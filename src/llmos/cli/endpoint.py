"""`llmos endpoint …`: what is served on this instance."""

from __future__ import annotations

import time
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

_POLL_S, _LIMIT_S = 0.5, 600.0


@click.group("endpoint")
def command() -> None:
    """Endpoints: models that answer."""


@command.command("list")
@json_option
@refusals_as_messages
def list_command(*, as_json: bool) -> None:
    """List endpoints, and models that are served on demand."""
    from llmos.features.accounts.actor import OPERATOR
    from llmos.features.endpoints.api import endpoint_json
    from llmos.features.endpoints.queries import list_endpoints, live_replicas

    with open_cli_runtime() as rt, rt.database.reading() as db:
        found = list_endpoints(db, OPERATOR)
        replicas = live_replicas(db, [one.id for one in found])
        rows = [endpoint_json(OPERATOR, one, replicas.get(one.id, [])) for one in found]
        called = {one.object_id: one.last_called_at for one in found}
    if as_json:
        print_json(rows)
        return
    print_table(
        [
            [
                row["name"] or "-",
                row["model"],
                row["state"],
                row["task"],
                len(row["replicas"]),
                when(called[row["id"]]),
            ]
            for row in rows
        ],
        ["endpoint", "model", "state", "task", "replicas", "called"],
    )


@command.command("show")
@click.argument("name")
@json_option
@refusals_as_messages
def show(name: str, as_json: bool) -> None:
    """Show the endpoint NAME (or id) and its replicas."""
    with open_cli_runtime() as rt:
        facts = facts_of(rt, name)
    if as_json:
        print_json(facts)
        return
    for key in ("name", "model", "commit", "task", "engine", "state", "access", "problem"):
        click.echo(f"{key}: {facts[key]}")
    print_table(
        [
            [one["state"], one["stage"], one["commit"][:8], one["runner"], one["job"] or "-"]
            for one in facts["replicas"]
        ],
        ["replica", "stage", "commit", "machine", "log (llmos job logs)"],
    )


@command.command("pause")
@click.argument("name")
@json_option
@refusals_as_messages
def pause(name: str, as_json: bool) -> None:
    """Let NAME answer no more calls; its engines end."""
    from llmos.features.endpoints.service import pause_endpoint

    _change(name, as_json, lambda db, rt, actor, found: pause_endpoint(db, actor, found), "is paused")


@command.command("resume")
@click.argument("name")
@json_option
@refusals_as_messages
def resume(name: str, as_json: bool) -> None:
    """Let NAME answer again, and start it."""
    from llmos.features.endpoints.service import resume_endpoint

    _change(name, as_json, resume_endpoint, "answers again")


@command.command("delete")
@click.argument("name")
@json_option
@refusals_as_messages
def delete(name: str, as_json: bool) -> None:
    """End NAME and forget it; the model stays."""
    from llmos.features.endpoints.service import delete_endpoint

    _change(name, as_json, lambda db, rt, actor, found: delete_endpoint(db, actor, found), "is deleted")


def _change(name: str, as_json: bool, act: Any, said: str) -> None:
    from llmos.features.accounts.actor import OPERATOR
    from llmos.features.endpoints.policy import access_endpoint

    with open_cli_runtime() as rt, rt.database.writing() as db:
        act(db, rt, OPERATOR, access_endpoint(db, OPERATOR, name))
    if as_json:
        print_json({"endpoint": name, "done": said})
    else:
        click.echo(f"The endpoint {name} {said}.")


def access_person(db: Any, name: str | None, owner: str) -> Any:
    """Who does it: the named person, else the owner if that is one, else the first administrator.

    Raises NotFound.
    """
    from sqlalchemy import select

    from llmos.core.errors import NotFound
    from llmos.features.accounts.actor import OPERATOR
    from llmos.features.accounts.models import User
    from llmos.features.accounts.policy import access_user, get_namespace
    from llmos.features.auth.credentials import actor_for_user

    if name:
        return actor_for_user(db, access_user(db, OPERATOR, name))
    found = get_namespace(db, owner)
    user = found.user if found is not None else None
    if user is None:
        admins = select(User).where(User.is_admin.is_(True), User.disabled_at.is_(None)).order_by(User.id)
        user = db.scalars(admins.limit(1)).unique().first()
    if user is None:
        raise NotFound("There is no administrator yet: create one with `llmos user create --admin`.")
    return actor_for_user(db, user)


def facts_of(rt: Any, name: str) -> dict[str, Any]:
    """The endpoint as the API shows it to an administrator. Raises NotFound."""
    from llmos.features.accounts.actor import OPERATOR
    from llmos.features.endpoints.api import endpoint_json
    from llmos.features.endpoints.policy import access_endpoint
    from llmos.features.endpoints.queries import live_replicas

    with rt.database.reading() as db:
        found = access_endpoint(db, OPERATOR, name)
        return endpoint_json(OPERATOR, found, live_replicas(db, [found.id]).get(found.id, []))


def wait_until_ready(rt: Any, object_id: str) -> dict[str, Any]:
    """The endpoint once it is ready or has failed to start, at the latest after ten minutes."""
    ends_at = time.monotonic() + _LIMIT_S
    facts = facts_of(rt, object_id)
    while facts["state"] != "ready" and not facts["problem"] and time.monotonic() < ends_at:
        time.sleep(_POLL_S)
        facts = facts_of(rt, object_id)
    return facts
