"""`llmos user …`: people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from llmos.cli.context import (
    json_option,
    open_cli_runtime,
    print_json,
    print_table,
    read_secret,
    refusals_as_messages,
    when,
)

if TYPE_CHECKING:
    from llmos.features.accounts.models import User


@click.group("user")
def command() -> None:
    """People of this instance."""


def _facts(found: User) -> dict[str, Any]:
    return {
        "name": found.name,
        "fullname": found.namespace.fullname,
        "email": found.email,
        "isAdmin": found.is_admin,
        "disabled": found.disabled_at is not None,
        "createdAt": found.namespace.created_at,
    }


@command.command("create")
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--fullname", default="", help="Full name, as shown on the profile.")
@click.option("--email", default=None, help="Mail address.")
@click.option("--admin", is_flag=True, help="Make an administrator of the site.")
@json_option
@refusals_as_messages
def create(
    *, name: str, password_stdin: bool, fullname: str, email: str | None, admin: bool, as_json: bool
) -> None:
    """Create a person called NAME.

    Without --password-stdin the person cannot sign in until they use a link of 'user reset-link'.
    """
    from llmos.features.accounts.actor import OPERATOR
    from llmos.features.auth.passwords import NewPerson, create_user_with_password

    password = read_secret("password") if password_stdin else ""
    with open_cli_runtime() as rt:
        person = NewPerson(name, password, fullname, email)
        made = create_user_with_password(rt, OPERATOR, person, is_admin=admin)
        if as_json:
            print_json(_facts(made))
        else:
            click.echo(f"Created {'administrator' if admin else 'user'} {made.name}.")
            if not password:
                click.echo(f"No password yet: run 'llmos user reset-link {made.name}'.", err=True)


@command.command("list")
@click.option("--query", default="", help="Part of a name or mail address.")
@json_option
@refusals_as_messages
def list_command(query: str, as_json: bool) -> None:
    """List people."""
    from llmos.features.accounts.queries import MAX_PAGE_SIZE, list_users

    rows: list[dict[str, Any]] = []
    with open_cli_runtime() as rt, rt.database.reading() as db:
        cursor: str | None = None
        while True:
            page = list_users(db, query=query, limit=MAX_PAGE_SIZE, cursor=cursor)
            rows += [_facts(found) for found in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
    if as_json:
        print_json(rows)
        return
    states = {(True, False): "admin", (False, True): "disabled", (True, True): "admin, disabled"}
    print_table(
        [
            [
                row["name"],
                row["fullname"],
                row["email"] or "-",
                states.get((row["isAdmin"], row["disabled"]), "-"),
                when(row["createdAt"]),
            ]
            for row in rows
        ],
        ["name", "full name", "mail", "state", "created"],
    )


def _switch(name: str, as_json: bool, *, is_enabled: bool) -> None:
    from llmos.features.accounts import service
    from llmos.features.accounts.actor import OPERATOR
    from llmos.features.accounts.policy import access_user

    change = service.enable_user if is_enabled else service.disable_user
    with open_cli_runtime() as rt, rt.database.writing() as db:
        found = access_user(db, OPERATOR, name)
        change(db, OPERATOR, found)
        _say(found, f"{found.name} is {'enabled' if is_enabled else 'disabled'}.", as_json)


@command.command("disable")
@click.argument("name")
@json_option
@refusals_as_messages
def disable(name: str, as_json: bool) -> None:
    """Refuse every credential of NAME from now on."""
    _switch(name, as_json, is_enabled=False)


@command.command("enable")
@click.argument("name")
@json_option
@refusals_as_messages
def enable(name: str, as_json: bool) -> None:
    """Let NAME in again."""
    _switch(name, as_json, is_enabled=True)


@command.command("reset-link")
@click.argument("name")
@json_option
@refusals_as_messages
def reset_link(name: str, as_json: bool) -> None:
    """Print an address at which NAME can set a new password, once, within 24 hours."""
    from llmos.features.accounts.actor import OPERATOR
    from llmos.features.accounts.policy import access_user
    from llmos.features.auth.links import create_reset_link

    with open_cli_runtime() as rt, rt.database.writing() as db:
        found = access_user(db, OPERATOR, name)
        url = create_reset_link(db, rt, OPERATOR, found)
    if as_json:
        print_json({"name": found.name, "url": url})
    else:
        click.echo(url)


def _say(found: User, text: str, as_json: bool) -> None:
    if as_json:
        print_json(_facts(found))
    else:
        click.echo(text)
