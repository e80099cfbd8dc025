"""The revision and path an address names, and the menu of branches and tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pygit2
from fastapi import Request

from llmos.core.errors import RevisionNotFound
from llmos.features.repos.models import Repo
from llmos.features.repos.pages.routes import file_href, repo_href
from llmos.infra.git.errors import EntryNotFound
from llmos.infra.git.repository import default_branch, is_empty
from llmos.infra.git.revisions import BRANCH_PREFIX, list_refs, read_ref, resolve
from llmos.infra.i18n import lazy
from llmos.ui.views import Crumb

MAX_REFS = 40


@dataclass(frozen=True)
class Place:
    """`commit` is None only for the default branch of a repository without commits."""

    rev: str
    path: str
    commit: str | None
    is_branch: bool


def place_of(request: Request, git_repo: pygit2.Repository) -> Place:
    """The place of a `{rev:rev}` (and `{path:rest}`) address. RevisionNotFound, EntryNotFound."""
    rev = str(request.path_params.get("rev") or default_branch(git_repo))
    path = str(request.path_params.get("path") or "").strip("/")
    if "\0" in path or len(path) > 4096 or any(0xD800 <= ord(char) <= 0xDFFF for char in path + rev):
        raise EntryNotFound(lazy("Entry not found: no file has such a name."))
    is_branch = read_ref(git_repo, BRANCH_PREFIX + rev) is not None if _may_be_ref(rev) else False
    try:
        commit: str | None = resolve(git_repo, rev)
    except RevisionNotFound:
        if rev != default_branch(git_repo) or not is_empty(git_repo):
            raise
        commit, is_branch = None, True
    return Place(rev, path, commit, is_branch)


def _may_be_ref(rev: str) -> bool:
    return bool(rev) and not any(ord(char) < 0x21 for char in rev) and len(rev) < 240


def ref_menu(git_repo: pygit2.Repository, repo: Repo, place: Place, verb: str) -> dict[str, Any]:
    """Branches and tags as links to the same page there; `label` names the present one."""
    refs = list_refs(git_repo)
    label = place.rev if len(place.rev) < 30 or place.is_branch else place.rev[:10]

    def entry(name: str) -> dict[str, Any]:
        return {
            "label": name,
            "href": file_href(repo, verb, name, place.path),
            "is_current": name == place.rev,
        }

    branches = [entry(ref.name) for ref in refs.branches[:MAX_REFS]]
    if not branches:
        branches = [entry(place.rev)]
    return {
        "label": label if len(label) < 40 else label[:38] + "…",
        "branches": branches,
        "tags": [entry(ref.name) for ref in reversed(refs.tags[-MAX_REFS:])],
        "all_href": f"{repo_href(repo)}/branches",
    }


def crumbs_of(repo: Repo, place: Place, *, verb: str = "tree") -> list[Crumb]:
    """The way from the root to a path; the last step has no link."""
    crumbs = [Crumb(repo.name, file_href(repo, verb, place.rev) if place.path else None)]
    parts = place.path.split("/") if place.path else []
    for depth, part in enumerate(parts, 1):
        is_last = depth == len(parts)
        crumbs.append(
            Crumb(part, None if is_last else file_href(repo, verb, place.rev, "/".join(parts[:depth])))
        )
    return crumbs
