"""One file: what is in it, and ways to have it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pygit2
from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from llmos.core.errors import EntryNotFound, Forbidden
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import render_page, request_locale
from llmos.features.repos.cards.front_matter import split_front_matter
from llmos.features.repos.cards.weights import Reader
from llmos.features.repos.files import LargeFileRef, last_commits, open_large_file
from llmos.features.repos.models import Repo
from llmos.features.repos.pages.files import commit_view
from llmos.features.repos.pages.frame import repo_frame
from llmos.features.repos.pages.previews import MAX_TEXT_BYTES, Preview, preview_file
from llmos.features.repos.pages.rendering import render_card, render_notebook_file
from llmos.features.repos.pages.repo import gate_of
from llmos.features.repos.pages.revisions import Place, crumbs_of, place_of, ref_menu
from llmos.features.repos.pages.routes import RepoRoutes, file_href, page_repo
from llmos.features.repos.places import open_git
from llmos.features.repos.policy import check_content
from llmos.infra.git.trees import TreeEntry, access_entry, read_blob
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.ui.filters import with_query
from llmos.ui.notebook import NotebookError

routes = RepoRoutes()
_EDITABLE = ("text", "markdown", "notebook", "empty", "table")


@routes.get("/blob/{rev:rev}/{path:rest}")
def blob_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    repo = page_repo(request, db, actor)
    locale = request_locale(request, actor)
    frame = repo_frame(db, rt, actor, repo, locale, "files")
    git_repo = open_git(rt, repo)
    place = place_of(request, git_repo)
    if place.commit is None:
        raise EntryNotFound(lazy("Entry not found: this repository has no files yet."))
    entry = access_entry(git_repo, place.commit, place.path)
    if entry.type == "directory":
        return RedirectResponse(file_href(repo, "tree", place.rev, place.path), 303)
    as_text = request.query_params.get("plain") == "1"
    may_read = _may_read(db, actor, repo, place.path)
    preview = (
        _preview(db, rt, repo, git_repo, entry, as_text) if may_read else Preview("binary", problem="gated")
    )
    try:
        rendered = _render(repo, place, preview)
    except NotebookError:
        preview, rendered = _preview(db, rt, repo, git_repo, entry, True), None
    changed = last_commits(git_repo, place.commit, [entry]).get(entry.path)
    context: dict[str, Any] = {
        "frame": frame,
        "place": place,
        "entry": entry,
        "refs": ref_menu(git_repo, repo, place, "blob"),
        "crumbs": crumbs_of(repo, place),
        "preview": preview,
        "rendered": rendered,
        "as_text": as_text,
        "has_source": _has_source(entry, preview, as_text),
        "gate": None if may_read else gate_of(db, actor, repo),
        "commit": commit_view(repo, changed) if changed else None,
        "can_edit": frame.can_write and place.is_branch,
        "can_propose": frame.is_signed_in and may_read and place.is_branch,
        "can_edit_text": entry.lfs is None and preview.kind in _EDITABLE
        and entry.size <= MAX_TEXT_BYTES and not place.path.endswith(".parquet"),
        "links": blob_links(repo, place),
    }  # fmt: skip
    return render_page(request, actor, "repos/blob.html", context)


def _has_source(entry: TreeEntry, preview: Preview, as_text: bool) -> bool:
    """Whether a file shown as something else can also be read as text."""
    if entry.path.endswith(".parquet"):
        return False
    return as_text or preview.kind in ("markdown", "notebook", "table") or entry.path.endswith(".svg")


def blob_links(repo: Repo, place: Place) -> dict[str, str]:
    """Every address one can go to from a file."""
    resolve = file_href(repo, "resolve", place.rev, place.path)
    blob = file_href(repo, "blob", place.rev, place.path)
    return {
        "blob": blob,
        "plain": with_query(blob, {"plain": "1"}),
        "curves": file_href(repo, "curves", place.rev),
        "raw": file_href(repo, "raw", place.rev, place.path),
        "resolve": resolve,
        "download": with_query(resolve, {"download": "true"}),
        "permalink": file_href(repo, "blob", place.commit or place.rev, place.path),
        "history": file_href(repo, "commits", place.rev, place.path),
        "blame": file_href(repo, "blame", place.rev, place.path),
        "edit": file_href(repo, "edit", place.rev, place.path),
        "delete": file_href(repo, "delete", place.rev, place.path),
    }


def _may_read(db: Session, actor: Actor, repo: Repo, path: str) -> bool:
    try:
        check_content(db, actor, repo, path)
    except Forbidden:
        return False
    return True


def _preview(
    db: Session, rt: Runtime, repo: Repo, git_repo: pygit2.Repository, entry: TreeEntry, as_text: bool
) -> Preview:
    if entry.type == "submodule":
        return Preview("binary", problem="submodule")
    return preview_file(
        content_reader(db, rt, repo, git_repo, entry), entry.path, entry.content_size, as_text=as_text
    )


def content_reader(
    db: Session, rt: Runtime, repo: Repo, git_repo: pygit2.Repository, entry: TreeEntry
) -> Reader | None:
    """`read(offset, length)` over a file's content; None where its bytes are not stored here."""
    if entry.lfs is None:
        data = read_blob(git_repo, entry.oid)
        return lambda offset, length: data[offset : offset + length]
    try:
        large = open_large_file(db, rt, repo, entry.lfs.oid)
    except EntryNotFound:
        return None
    return lambda offset, length: b"".join(_pieces(rt, large, offset, length))


def _pieces(rt: Runtime, large: LargeFileRef, offset: int, length: int) -> Iterator[bytes]:
    end = min(offset + length, large.size_bytes)
    return large.stream(rt, offset, end) if end > offset else iter(())


def _render(repo: Repo, place: Place, preview: Preview) -> Any:
    folder = place.path.rpartition("/")[0]
    bases = (
        file_href(repo, "blob", place.rev, folder) + "/",
        file_href(repo, "resolve", place.rev, folder) + "/",
    )
    if preview.kind == "notebook":
        return render_notebook_file(preview.text, *bases)
    if preview.kind != "markdown":
        return None
    text = split_front_matter(preview.text)[1] if place.path == "README.md" else preview.text
    return render_card(text, *bases)
