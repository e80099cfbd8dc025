"""`llmos token …`: access tokens."""

from __future__ import annotations

from typing import Any

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


@click.group("token")
def command() -> None:
    """Access tokens of people."""


@command.command("create")
@click.argument("person")
@click.option("--name", required=True, help="What the token is for.")
@click.option(
    "--scope",
    type=click.Choice(["read", "write", "fine-grained"]),
    default="read",
    show_default=True,
    help="What it may do; fine-grained needs --grant.",
)
@click.option(
    "--grant",
    "grants",
    multiple=True,
    metavar="TARGET=VERB,…",
    help="For fine-grained: 'lab=repo.read', 'model:ada/tiny-llm=repo.write'. May be repeated.",
)
@click.option("--expires-days", type=click.IntRange(1, 3650), default=None, help="Days it lasts.")
@click.option("--value-stdin", is_flag=True, help="Import the token read from standard input.")
@json_option
@refusals_as_messages
def create(
    *,
    person: str,
    name: str,
    scope: str,
    grants: tuple[str, ...],
    expires_days: int | None,
    value_stdin: bool,
    as_json: bool,
) -> None:
    """Create a token of PERSON and print it, once: alone on the last line."""
    from llmos.features.accounts.actor import OPERATOR
    from llmos.features.accounts.policy import access_user
    from llmos.features.auth.tokens import create_token

    value = read_secret("token") if value_stdin else None
    with open_cli_runtime() as rt, rt.database.writing() as db:
        made, secret = create_token(
            db,
            OPERATOR,
            access_user(db, OPERATOR, person),
            name=name,
            role="fineGrained" if scope == "fine-grained" else scope,
            scopes=[_scope(grant) for grant in grants],
            expires_in_days=expires_days,
            value=value,
        )
        facts = {"id": made.object_id, "name": made.name, "role": made.role, "expiresAt": made.expires_at}
    if as_json:
        print_json({**facts, "token": secret})
        return
    click.echo(f"Created token {made.name} of {person} ({scope}). It is shown only now:", err=True)
    click.echo(secret)


def _scope(grant: str) -> dict[str, Any]:
    target, _, verbs = grant.partition("=")
    return {"target": target.strip(), "verbs": [verb.strip() for verb in verbs.split(",") if verb.strip()]}


@command.command("list")
@click.argument("person")
@json_option
@refusals_as_messages
def list_command(person: str, as_json: bool) -> None:
    """List the tokens of PERSON, never their values."""
    from llmos.features.accounts.actor import OPERATOR
    from llmos.features.accounts.policy import access_user
    from llmos.features.auth.tokens import list_tokens

    with open_cli_runtime() as rt, rt.database.reading() as db:
        rows: list[dict[str, Any]] = [
            {
                "id": found.object_id,
                "name": found.name,
                "hint": found.token_hint,
                "role": found.role,
                "scopes": found.scopes,
                "createdAt": found.created_at,
                "lastUsedAt": found.last_used_at,
                "expiresAt": found.expires_at,
            }
            for found in list_tokens(db, access_user(db, OPERATOR, person))
        ]
    if as_json:
        print_json(rows)
        return
    print_table(
        [
            [
                row["id"],
                row["name"],
                row["hint"],
                row["role"],
                when(row["lastUsedAt"]),
                when(row["expiresAt"]),
            ]
            for row in rows
        ],
        ["id", "name", "token", "scope", "last used", "expires"],
    )


@command.command("revoke")
@click.argument("person")
@click.argument("name_or_id")
@json_option
@refusals_as_messages
def revoke(person: str, name_or_id: str, as_json: bool) -> None:
    """Refuse the token NAME_OR_ID of PERSON from now on."""
    from llmos.core.errors import NotFound
    from llmos.features.accounts.actor import OPERATOR
    from llmos.features.accounts.policy import access_user
    from llmos.features.auth.tokens import get_token_by_name, revoke_token

    with open_cli_runtime() as rt, rt.database.writing() as db:
        user = access_user(db, OPERATOR, person)
        found = get_token_by_name(db, user, name_or_id)
        if found is None:
            raise NotFound(f"{person} has no token {name_or_id!r}: 'llmos token list {person}' shows them.")
        revoke_token(db, OPERATOR, found)
    if as_json:
        print_json({"id": found.object_id, "name": found.name, "revoked": True})
    else:
        click.echo(f"Revoked token {found.name} of {person}.")
