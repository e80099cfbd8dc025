"""Folders: what is in them, and which commit last changed each entry."""

from __future__ import annotations

from typing import Any

import pygit2
from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from llmos.core.errors import Forbidden
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import render_page, request_locale
from llmos.features.repos.files import get_file, last_commits
from llmos.features.repos.models import Repo
from llmos.features.repos.pages.frame import repo_frame
from llmos.features.repos.pages.revisions import Place, crumbs_of, place_of, ref_menu
from llmos.features.repos.pages.routes import RepoRoutes, file_href, page_repo, repo_href
from llmos.features.repos.places import open_git
from llmos.features.repos.policy import check_content
from llmos.infra.git.commits import CommitInfo, count_commits, get_commit
from llmos.infra.git.trees import TreeEntry, TreePage, get_entry, list_tree
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.ui.filters import with_query
from llmos.ui.markdown import render_markdown
from llmos.ui.views import FileRow

routes = RepoRoutes()
PAGE_SIZE = 200
MAX_README_BYTES = 400_000


@routes.get("/tree/{rev:rev}")
@routes.get("/tree/{rev:rev}/{path:rest}")
def tree_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    repo = page_repo(request, db, actor)
    locale = request_locale(request, actor)
    frame = repo_frame(db, rt, actor, repo, locale, "files")
    may_read = _may_read(db, actor, repo)
    db.close()
    git_repo = open_git(rt, repo)
    place = place_of(request, git_repo)
    if place.commit is not None and place.path:
        entry = get_entry(git_repo, place.commit, place.path)
        if entry is not None and entry.type != "directory":
            return RedirectResponse(file_href(repo, "blob", place.rev, place.path), 303)
    context: dict[str, Any] = {
        "frame": frame,
        "place": place,
        "refs": ref_menu(git_repo, repo, place, "tree"),
        "crumbs": crumbs_of(repo, place),
        "can_edit": frame.can_write and place.is_branch,
        "links": _links(repo, place),
        **_listing(git_repo, repo, place, request.query_params.get("after"), may_read),
    }
    return render_page(request, actor, "repos/tree.html", context)


def _may_read(db: Session, actor: Actor, repo: Repo) -> bool:
    try:
        check_content(db, actor, repo)
    except Forbidden:
        return False
    return True


def _links(repo: Repo, place: Place) -> dict[str, str]:
    parent = place.path.rpartition("/")[0]
    return {
        "parent": file_href(repo, "tree", place.rev, parent) if place.path else "",
        "history": file_href(repo, "commits", place.rev, place.path),
        "upload": with_query(file_href(repo, "upload", place.rev), {"folder": place.path}),
        "new": with_query(file_href(repo, "new", place.rev), {"folder": place.path}),
    }


def _listing(
    git_repo: pygit2.Repository, repo: Repo, place: Place, after: str | None, may_read: bool
) -> dict[str, Any]:
    if place.commit is None:
        return {"rows": [], "next_href": None, "head": None, "commit_count": 0, "readme": None}
    page = list_tree(git_repo, place.commit, place.path, after=after, limit=PAGE_SIZE)
    commits = last_commits(git_repo, place.commit, page.entries)
    next_href = None
    if page.next_cursor:
        next_href = with_query(file_href(repo, "tree", place.rev, place.path), {"after": page.next_cursor})
    head = get_commit(git_repo, place.commit)
    return {
        "rows": file_rows(repo, place.rev, page, commits),
        "next_href": next_href,
        "head": commit_view(repo, head),
        "commit_count": count_commits(git_repo, place.commit),
        "readme": _readme(git_repo, repo, place) if place.path and may_read else None,
    }


def commit_view(repo: Repo, commit: CommitInfo) -> dict[str, Any]:
    """A commit as lists show it."""
    return {
        "oid": commit.oid,
        "title": commit.title,
        "body": commit.body,
        "author": commit.author_name,
        "author_href": f"/{commit.author_name}" if _is_name(commit.author_name) else None,
        "at": commit.committed_at,
        "href": f"{repo_href(repo)}/commit/{commit.oid}",
        "tree_href": file_href(repo, "tree", commit.oid),
        "parents": [{"oid": oid, "href": f"{repo_href(repo)}/commit/{oid}"} for oid in commit.parents],
    }


def _is_name(text: str) -> bool:
    return bool(text) and text.isascii() and all(char.isalnum() or char in "-_." for char in text)


def file_rows(repo: Repo, rev: str, page: TreePage, commits: dict[str, CommitInfo]) -> list[FileRow]:
    """Folders first, each with its last commit where that was found in time."""
    entries = sorted(page.entries, key=lambda entry: entry.type != "directory")
    return [_row(repo, rev, entry, commits.get(entry.path)) for entry in entries]


def _row(repo: Repo, rev: str, entry: TreeEntry, commit: CommitInfo | None) -> FileRow:
    is_folder = entry.type == "directory"
    kind: Any = "folder" if is_folder else "link" if entry.type in ("symlink", "submodule") else "file"
    return FileRow(
        name=entry.path.rpartition("/")[2],
        href=file_href(repo, "tree" if is_folder else "blob", rev, entry.path),
        kind="lfs" if entry.lfs else kind,
        size_bytes=entry.content_size if entry.type == "file" else None,
        message=commit.title if commit else "",
        commit_href=f"{repo_href(repo)}/commit/{commit.oid}" if commit else None,
        changed_at=commit.committed_at if commit else None,
        download_href=file_href(repo, "resolve", rev, entry.path) + "?download=true"
        if entry.type == "file"
        else None,
    )


def _readme(git_repo: pygit2.Repository, repo: Repo, place: Place) -> Any:
    """The README of a folder below the root (the root's is the card)."""
    data = get_file(git_repo, place.commit, f"{place.path}/README.md")
    if data is None or len(data) > MAX_README_BYTES:
        return None
    return render_markdown(
        data.decode("utf-8", "replace"),
        base_url_for_links=file_href(repo, "blob", place.rev, place.path) + "/",
        image_base=file_href(repo, "resolve", place.rev, place.path) + "/",
    )
