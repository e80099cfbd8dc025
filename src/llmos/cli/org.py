"""`llmos org …`: organisations and their members."""

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

ROLES = ["read", "contributor", "write", "admin"]


@click.group("org")
def command() -> None:
    """Organisations of this instance."""


@command.command("create")
@click.argument("name")
@click.option("--owner", required=True, help="The person who becomes its first admin.")
@click.option("--fullname", default="", help="Full name, as shown on its page.")
@click.option(
    "--default-visibility",
    type=click.Choice(["public", "private"]),
    default="public",
    show_default=True,
    help="How its new repositories start.",
)
@json_option
@refusals_as_messages
def create(name: str, owner: str, fullname: str, default_visibility: str, as_json: bool) -> None:
    """Create an organisation called NAME."""
    from llmos.features.accounts.actor import OPERATOR
    from llmos.features.accounts.organizations import create_org
    from llmos.features.accounts.policy import access_user

    with open_cli_runtime() as rt, rt.database.writing() as db:
        made = create_org(
            db,
            OPERATOR,
            name=name,
            owner=access_user(db, OPERATOR, owner),
            fullname=fullname,
            default_visibility=default_visibility,
        )
        facts = {"name": made.name, "owner": owner, "defaultVisibility": made.default_visibility}
    if as_json:
        print_json(facts)
    else:
        click.echo(f"Created organisation {facts['name']} with {owner} as its admin.")


@command.command("list")
@json_option
@refusals_as_messages
def list_command(as_json: bool) -> None:
    """List organisations."""
    from llmos.features.accounts.queries import MAX_PAGE_SIZE, count_members, list_organizations

    rows: list[dict[str, Any]] = []
    with open_cli_runtime() as rt, rt.database.reading() as db:
        cursor: str | None = None
        while True:
            page = list_organizations(db, limit=MAX_PAGE_SIZE, cursor=cursor)
            for found in page.items:
                rows.append(
                    {
                        "name": found.name,
                        "fullname": found.namespace.fullname,
                        "members": count_members(db, found.id),
                        "defaultVisibility": found.default_visibility,
                        "createdAt": found.namespace.created_at,
                    }
                )
            cursor = page.next_cursor
            if cursor is None:
                break
    if as_json:
        print_json(rows)
        return
    print_table(
        [
            [
                row["name"],
                row["fullname"],
                str(row["members"]),
                row["defaultVisibility"],
                when(row["createdAt"]),
            ]
            for row in rows
        ],
        ["name", "full name", "members", "new repositories", "created"],
    )


@command.command("add-member")
@click.argument("name")
@click.argument("person")
@click.option("--role", type=click.Choice(ROLES), default="write", show_default=True)
@json_option
@refusals_as_messages
def add_member(name: str, person: str, role: str, as_json: bool) -> None:
    """Make PERSON a member of organisation NAME; for a member: change the role."""
    from llmos.features.accounts import organizations
    from llmos.features.accounts.actor import OPERATOR
    from llmos.features.accounts.policy import access_organization, access_user

    with open_cli_runtime() as rt, rt.database.writing() as db:
        found, member = access_organization(db, OPERATOR, name), access_user(db, OPERATOR, person)
        if organizations.get_membership(db, found, member) is None:
            organizations.add_member(db, OPERATOR, found, member, role)
        else:
            organizations.change_role(db, OPERATOR, found, member, role)
    if as_json:
        print_json({"name": found.name, "user": member.name, "role": role})
    else:
        click.echo(f"{member.name} is a member of {found.name} with the role {role}.")


@command.command("remove-member")
@click.argument("name")
@click.argument("person")
@json_option
@refusals_as_messages
def remove_member(name: str, person: str, as_json: bool) -> None:
    """End the membership of PERSON in organisation NAME."""
    from llmos.features.accounts import organizations
    from llmos.features.accounts.actor import OPERATOR
    from llmos.features.accounts.policy import access_organization, access_user

    with open_cli_runtime() as rt, rt.database.writing() as db:
        found, member = access_organization(db, OPERATOR, name), access_user(db, OPERATOR, person)
        organizations.remove_member(db, OPERATOR, found, member)
    if as_json:
        print_json({"name": found.name, "user": member.name, "role": None})
    else:
        click.echo(f"{member.name} is no longer a member of {found.name}.")
