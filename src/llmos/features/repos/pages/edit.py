"""Writing in the browser: a new file, an edited one, a deleted one; each is a commit."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest, Forbidden, LlmosError, Unprocessable
from llmos.core.paths import check_file_path
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
)
from llmos.features.repos.commit_targets import open_target
from llmos.features.repos.commits import CommitDraft, CommitResult
from llmos.features.repos.models import Repo
from llmos.features.repos.pages.edit_races import compare_with_newer, refresh_parent
from llmos.features.repos.pages.frame import repo_frame
from llmos.features.repos.pages.previews import MAX_TEXT_BYTES
from llmos.features.repos.pages.revisions import Place, crumbs_of, place_of
from llmos.features.repos.pages.routes import RepoRoutes, file_href, page_repo, repo_href
from llmos.features.repos.places import open_git
from llmos.features.repos.policy import can_write, check_content, check_write
from llmos.infra.git.trees import TreeEntry, get_entry, read_blob
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.ui.views import DiffFile

routes = RepoRoutes()


@routes.get("/edit/{rev:rev}/{path:rest}")
@routes.get("/new/{rev:rev}")
def edit_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    repo = page_repo(request, db, actor)
    if actor.user_id is None:
        return redirect_to_login(request)
    place, entry = check_writable_place(request, rt, db, actor, repo, may_propose=True)
    text = ""
    if entry is not None:
        text = _text_of(rt, repo, entry)
    folder = request.query_params.get("folder", "").strip("/")[:1000]
    values = {
        "path": place.path or (f"{folder}/" if folder else ""),
        "content": text,
        "summary": "",
        "description": "",
        "parent": place.commit or "",
    }
    return _render(request, rt, db, actor, repo, place, values, is_new=entry is None)


def check_writable_place(
    request: Request, rt: Runtime, db: Session, actor: Actor, repo: Repo, *, may_propose: bool = False
) -> tuple[Place, TreeEntry | None]:
    """The place to write to and the file there now; refuses fixed revisions and whoever may not
    write. With `may_propose` every reader may: what they write becomes a pull request."""
    check_content(db, actor, repo)
    git_repo = open_git(rt, repo)
    place = place_of(request, git_repo)
    if not may_propose or place.commit is None:
        check_write(actor, repo)
    if not place.is_branch:
        raise BadRequest(lazy("Only the end of a branch can be edited: choose a branch."))
    entry = get_entry(git_repo, place.commit, place.path) if place.commit and place.path else None
    if entry is not None and entry.type == "directory":
        raise BadRequest(lazy("%(path)r is a folder: name a file.", path=place.path))
    return place, entry


def _text_of(rt: Runtime, repo: Repo, entry: TreeEntry) -> str:
    if entry.lfs is not None or entry.type != "file" or entry.size > MAX_TEXT_BYTES:
        raise Unprocessable(lazy("This file is no text to edit here: upload a new version instead."))
    try:
        return read_blob(open_git(rt, repo), entry.oid).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unprocessable(lazy("This file is not UTF-8 text: upload a new version instead.")) from error


@routes.post("/edit/{rev:rev}/{path:rest}")
@routes.post("/new/{rev:rev}")
def post_edit(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, form: PageForm) -> Response:
    repo = page_repo(request, db, actor)
    if actor.user_id is None:
        return redirect_to_login(request)
    proposes = form.has("propose")
    place, entry = check_writable_place(request, rt, db, actor, repo, may_propose=proposes)
    values = {key: form.text(key) for key in ("path", "summary", "description", "parent")}
    values["content"] = form.text("content", strip=False)
    db.close()
    git_repo = open_git(rt, repo)
    values["parent"] = refresh_parent(git_repo, values["parent"], place.commit, place.path, entry)
    try:
        path = check_file_path(values["path"])
        made = _commit_text(rt, actor, repo, place, entry, path, values, proposes=proposes)
    except LlmosError as refusal:
        if isinstance(refusal, Forbidden):
            raise
        # What was typed is kept, whatever the refusal.
        newer = None
        if refusal.status == 412:
            # Whoever saves again has seen the newer text.
            place, entry = check_writable_place(request, rt, db, actor, repo, may_propose=True)
            newer = compare_with_newer(git_repo, entry, place.path, values["content"])
            values["parent"] = place.commit or ""
        return _render(
            request,
            rt,
            db,
            actor,
            repo,
            place,
            values,
            is_new=not place.path or (entry is None and refusal.status != 412),
            error=_explain(refusal),
            newer=newer,
            status=refusal.status,
        )
    if made.pull_num is not None:
        href = f"{repo_href(repo)}/discussions/{made.pull_num}"
        return redirect_page(
            request, href, lazy("Your change is proposed as #%(number)s.", number=made.pull_num)
        )
    return redirect_page(
        request, file_href(repo, "blob", place.rev, path), lazy("%(path)s is saved.", path=path)
    )


def _explain(refusal: LlmosError) -> str:
    if refusal.status == 412:
        return lazy(
            "Somebody else changed this file meanwhile. Your text stands below, nothing is lost: compare it "
            "with the newer one. Saving again replaces the newer one."
        )
    return refusal.message


def _commit_text(
    rt: Runtime,
    actor: Actor,
    repo: Repo,
    place: Place,
    entry: TreeEntry | None,
    path: str,
    values: dict[str, str],
    *,
    proposes: bool,
) -> CommitResult:
    content = values["content"].replace("\r\n", "\n")
    old = read_blob(open_git(rt, repo), entry.oid) if entry is not None else None
    if old is not None and b"\r\n" in old[:8000]:
        content = content.replace("\n", "\r\n")
    if proposes and old == content.encode() and path == place.path:
        raise BadRequest(lazy("Nothing is changed yet: there is nothing to propose."))
    verb = "Update" if entry is not None else "Create"
    with rt.database.reading() as look:
        target = open_target(
            look, rt, actor, repo.repo_type, repo.namespace.name, repo.name, place.rev, create_pr=proposes
        )
        git_repo = open_git(rt, repo)
        if path != place.path and place.commit and get_entry(git_repo, place.commit, path) is not None:
            raise BadRequest(lazy("There is a file called %(path)s already: choose another name.", path=path))
    with CommitDraft(rt, actor, target) as draft:
        draft.set_header(
            values["summary"] or f"{verb} {path}", values["description"], values["parent"] or None
        )
        draft.add_file(path, content.encode(), place.path if entry is not None else None)
        return draft.finish()


def _render(
    request: Request,
    rt: Runtime,
    db: Session,
    actor: Actor,
    repo: Repo,
    place: Place,
    values: dict[str, str],
    *,
    is_new: bool,
    error: str = "",
    newer: DiffFile | None = None,
    status: int = 200,
) -> Response:
    frame = repo_frame(db, rt, actor, repo, request_locale(request, actor), "files")
    back = file_href(repo, "tree" if is_new else "blob", place.rev, "" if is_new else place.path)
    context: dict[str, Any] = {
        "frame": frame,
        "place": place,
        "crumbs": crumbs_of(repo, place),
        "values": values,
        "is_new": is_new,
        "error": error,
        "newer": newer,
        "action": file_href(repo, "new", place.rev)
        if not place.path
        else file_href(repo, "edit", place.rev, place.path),
        "back_href": back,
        "can_commit": can_write(actor, repo),
        "can_propose": place.commit is not None and not place.rev.startswith("refs/"),
        "is_text": PurePosixPath(values["path"]).suffix.lower() in (".md", ".markdown"),
        "context_path": repo_href(repo),
        "upload_href": file_href(repo, "upload", place.rev),
    }
    return render_page(request, actor, "repos/edit.html", context, status=status)


@routes.get("/delete/{rev:rev}/{path:rest}")
def delete_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    repo = page_repo(request, db, actor)
    if actor.user_id is None:
        return redirect_to_login(request)
    place, entry = check_writable_place(request, rt, db, actor, repo)
    if entry is None:
        raise BadRequest(lazy("There is no such file to delete."))
    context: dict[str, Any] = {
        "frame": repo_frame(db, rt, actor, repo, request_locale(request, actor), "files"),
        "place": place,
        "crumbs": crumbs_of(repo, place),
        "action": file_href(repo, "delete", place.rev, place.path),
        "back_href": file_href(repo, "blob", place.rev, place.path),
    }
    return render_page(request, actor, "repos/delete_file.html", context)


@routes.post("/delete/{rev:rev}/{path:rest}")
def post_delete(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, form: PageForm) -> Response:
    repo = page_repo(request, db, actor)
    if actor.user_id is None:
        return redirect_to_login(request)
    place, _entry = check_writable_place(request, rt, db, actor, repo)
    target = open_target(db, rt, actor, repo.repo_type, repo.namespace.name, repo.name, place.rev)
    db.close()
    with CommitDraft(rt, actor, target) as draft:
        draft.set_header(form.text("summary") or f"Delete {place.path}", form.text("description"), None)
        draft.delete_file(place.path)
        draft.finish()
    folder = place.path.rpartition("/")[0]
    git_repo = open_git(rt, repo)
    still_there = folder and get_entry(git_repo, place_of(request, git_repo).commit or "", folder)
    return redirect_page(
        request,
        file_href(repo, "tree", place.rev, folder if still_there else ""),
        lazy("%(path)s is deleted.", path=place.path),
    )
