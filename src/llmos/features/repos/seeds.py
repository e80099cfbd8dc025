"""The first commit of a new repository."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import yaml

from llmos.core.errors import BadRequest
from llmos.core.repo_types import RepoType
from llmos.features.repos.cards.attributes import default_gitattributes
from llmos.infra.git.identity import Identity
from llmos.infra.git.objects import ObjectWriter
from llmos.infra.git.refs import update_ref
from llmos.infra.git.repository import DEFAULT_BRANCH, forget_repo, init_bare, open_repo
from llmos.infra.git.writer import AddBlob, apply_changes, create_commit
from llmos.infra.i18n import lazy

INITIAL_MESSAGE = "initial commit"
SPACE_SDKS = ("gradio", "streamlit", "docker", "static")


def first_files(
    repo_type: RepoType,
    *,
    name: str,
    license_id: str | None = None,
    sdk: str | None = None,
    files: Mapping[str, bytes] | None = None,
) -> dict[str, bytes]:
    """Path -> content: `.gitattributes`, a card where there is something to say, and given files."""
    found = {".gitattributes": default_gitattributes(repo_type.value).encode()}
    card: dict[str, object] = {}
    if repo_type is RepoType.SPACE and sdk:
        card |= {"title": name, "sdk": sdk, "pinned": False}
    if license_id:
        card["license"] = license_id
    if card:
        text = yaml.safe_dump(card, sort_keys=False, allow_unicode=True)
        found["README.md"] = f"---\n{text}---\n".encode()
    return found | dict(files or {})


def check_sdk(repo_type: RepoType, sdk: str | None) -> str | None:
    """The SDK of a new Space; BadRequest for an unknown or missing one. Other types have none."""
    if repo_type is not RepoType.SPACE:
        return None
    if sdk not in SPACE_SDKS:
        raise BadRequest(
            lazy(
                "sdk must be one of %(choices)s for a Space, not %(sdk)r.",
                choices=", ".join(SPACE_SDKS),
                sdk=sdk,
            )
        )
    return sdk


def init_git(path: Path, author: Identity, committer: Identity, files: Mapping[str, bytes]) -> str:
    """Create the git folder with one commit of `files` and return the commit's id.

    All of it is durable on return; on any refusal nothing is left behind.
    """
    init_bare(path)
    with ExitStack() as undo:
        undo.callback(remove_git, path)
        git_repo = open_repo(path)
        with ObjectWriter(git_repo) as writer:
            changes = [AddBlob(name, writer.write_blob(data)) for name, data in files.items()]
            tree = apply_changes(writer, None, changes)
            commit = create_commit(
                writer, tree, [], author=author, committer=committer, message=INITIAL_MESSAGE
            )
            writer.flush()
        update_ref(git_repo, f"refs/heads/{DEFAULT_BRANCH}", commit, None)
        undo.pop_all()
    return commit


def remove_git(path: Path) -> None:
    """Remove a git folder for good: first out of sight, then from the disk."""
    forget_repo(path)
    doomed = path.with_name(f".{path.name}.gone")
    try:
        path.rename(doomed)
    except FileNotFoundError:
        doomed = path
    shutil.rmtree(doomed, ignore_errors=True)
