"""`llmos repo`."""

from __future__ import annotations

from typing import Any

import click

from llmos.cli.context import json_option, open_cli_runtime, print_json, print_table, refusals_as_messages

type_option = click.option(
    "--type",
    "type_name",
    type=click.Choice(["model", "dataset", "space", "kernel"]),
    default="model",
    show_default=True,
    help="Type of the repository.",
)


@click.group("repo")
def command() -> None:
    """Look after repositories, whoever owns them."""


@command.command("list")
@click.option(
    "--type", "type_name", type=click.Choice(["model", "dataset", "space", "kernel"]), help="Only these."
)
@click.option("--author", help="Only those of this namespace.")
@json_option
@refusals_as_messages
def list_command(type_name: str | None, author: str | None, as_json: bool) -> None:
    """List repositories, private ones too."""
    from sqlalchemy import select

    from llmos.core.names import name_key
    from llmos.features.accounts.models import Namespace
    from llmos.features.repos.models import Repo
    from llmos.ui.filters import filesize

    statement = select(Repo).join(Repo.namespace).order_by(Repo.type, Namespace.name_key, Repo.name_key)
    if type_name:
        statement = statement.where(Repo.type == type_name)
    if author:
        statement = statement.where(Namespace.name_key == name_key(author))
    with open_cli_runtime() as rt, rt.database.reading() as db:
        repos = db.scalars(statement).unique().all()
    if as_json:
        print_json(
            [
                {
                    "type": r.type,
                    "name": r.repo_name,
                    "visibility": r.visibility,
                    "size_bytes": r.used_storage_bytes,
                }
                for r in repos
            ]
        )
        return
    rows = [[r.type, r.repo_name, r.visibility, filesize(r.used_storage_bytes)] for r in repos]
    print_table(rows, ["type", "name", "visibility", "storage"])


@command.command("create")
@click.argument("repo_name")
@type_option
@click.option("--private", is_flag=True, help="Visible to members only.")
@click.option("--sdk", type=click.Choice(["gradio", "static", "docker", "streamlit"]), help="For a space.")
@json_option
@refusals_as_messages
def create_command(repo_name: str, type_name: str, private: bool, sdk: str | None, as_json: bool) -> None:
    """Create NAMESPACE/NAME in the name of its owner."""
    from llmos.core.repo_types import RepoType
    from llmos.features.repos.lifecycle import create_repo

    namespace, _, name = repo_name.partition("/")
    with open_cli_runtime() as rt:
        with rt.database.reading() as db:
            actor = _owner(db, namespace)
        with rt.database.writing() as db:
            repo = create_repo(
                db,
                actor,
                rt,
                name=name,
                organization=namespace,
                repo_type=RepoType(type_name),
                visibility="private" if private else None,
                sdk=sdk,
            )
            made = repo.repo_name
    if as_json:
        print_json({"type": type_name, "name": made})
    else:
        click.echo(f"Created {type_name} {made}.")


def _owner(db: Any, namespace: str) -> Any:
    """The person of that name, or the first admin of the organisation of that name."""
    from sqlalchemy import select

    from llmos.core.errors import NotFound
    from llmos.core.names import name_key
    from llmos.features.accounts.models import Membership, Namespace, User
    from llmos.features.auth.credentials import actor_for_user

    row = (
        db.scalars(select(Namespace).where(Namespace.name_key == name_key(namespace))).unique().one_or_none()
    )
    if row is None:
        raise NotFound(
            f"There is no person or organisation {namespace!r}: create it first (llmos user create)."
        )
    user_id = row.id
    if row.kind == "org":
        admins = select(Membership.user_id).where(Membership.org_id == row.id, Membership.role == "admin")
        user_id = db.scalar(admins.order_by(Membership.created_at).limit(1))
    user = db.get(User, user_id)
    if user is None:
        raise NotFound(f"The organisation {namespace!r} has no admin: add one by `llmos org add-member`.")
    return actor_for_user(db, user)


@command.command("move")
@click.argument("old_name")
@click.argument("new_name")
@type_option
@refusals_as_messages
def move_command(old_name: str, new_name: str, type_name: str) -> None:
    """Give OLD_NAME (namespace/name) the name NEW_NAME; the old one redirects."""
    from llmos.core.names import split_repo_name
    from llmos.core.repo_types import RepoType
    from llmos.features.accounts.actor import OPERATOR
    from llmos.features.repos.moving import move_repo
    from llmos.features.repos.policy import access_repo

    with open_cli_runtime() as rt, rt.database.writing() as db:
        repo = access_repo(db, OPERATOR, RepoType(type_name), *split_repo_name(old_name))
        move_repo(db, OPERATOR, repo, new_name)
    click.echo(f"{old_name} is now {new_name}.")


@command.command("delete")
@click.argument("repo_name")
@type_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@refusals_as_messages
def delete_command(repo_name: str, type_name: str, yes: bool) -> None:
    """Delete a repository; it can be restored for seven days."""
    from llmos.core.names import split_repo_name
    from llmos.core.repo_types import RepoType
    from llmos.features.accounts.actor import OPERATOR
    from llmos.features.discussions import keeping as _keeping  # noqa: F401  # its threads go with it
    from llmos.features.repos.lifecycle import delete_repo
    from llmos.features.repos.policy import access_repo

    if not yes:
        click.confirm(f"Delete {type_name} {repo_name}?", abort=True)
    with open_cli_runtime() as rt, rt.database.writing() as db:
        repo = access_repo(db, OPERATOR, RepoType(type_name), *split_repo_name(repo_name))
        tombstone = delete_repo(db, OPERATOR, repo)
        object_id, until = tombstone.object_id, tombstone.purge_after
    click.echo(f"Deleted. `llmos repo restore {object_id}` brings it back until {until:%Y-%m-%d}.")


@command.command("restore")
@click.argument("object_id")
@click.option("--name", help="A new name, where the old one was taken since.")
@refusals_as_messages
def restore_command(object_id: str, name: str | None) -> None:
    """Bring back a deleted repository by the id that `delete` printed."""
    from llmos.features.accounts.actor import OPERATOR
    from llmos.features.discussions import keeping as _keeping  # noqa: F401  # its threads come with it
    from llmos.features.repos.lifecycle import restore_deleted_repo

    with open_cli_runtime() as rt, rt.database.writing() as db:
        repo = restore_deleted_repo(db, OPERATOR, rt, object_id, new_name=name)
        click.echo(f"Restored {repo.type} {repo.repo_name}.")
