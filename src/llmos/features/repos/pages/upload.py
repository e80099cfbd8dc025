"""Uploading files in the browser, by drag and drop or an ordinary form."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from llmos.core.errors import BadRequest
from llmos.core.paths import check_file_path
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    check_csrf,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
)
from llmos.features.repos.claims import check_room, claim, room_bytes
from llmos.features.repos.commit_targets import CommitTarget, open_target
from llmos.features.repos.commits import CommitDraft
from llmos.features.repos.models import Repo
from llmos.features.repos.pages.edit import check_writable_place
from llmos.features.repos.pages.frame import repo_frame
from llmos.features.repos.pages.revisions import crumbs_of
from llmos.features.repos.pages.routes import RepoRoutes, file_href, page_repo
from llmos.features.repos.pages.upload_stream import StagedFile, UploadReader
from llmos.features.repos.policy import check_write
from llmos.features.repos.preupload import UploadQuestion, advise_uploads
from llmos.features.storage.objects import put_lfs_object
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.forms import Form

routes = RepoRoutes()


@routes.get("/upload/{rev:rev}")
def upload_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    repo = page_repo(request, db, actor)
    if actor.user_id is None:
        return redirect_to_login(request)
    place, _entry = check_writable_place(request, rt, db, actor, repo)
    context: dict[str, Any] = {
        "frame": repo_frame(db, rt, actor, repo, request_locale(request, actor), "files"),
        "place": place,
        "crumbs": crumbs_of(repo, place),
        "folder": request.query_params.get("folder", "").strip("/")[:1000],
        "action": file_href(repo, "upload", place.rev),
        "back_href": file_href(repo, "tree", place.rev),
        "new_href": file_href(repo, "new", place.rev),
    }
    return render_page(request, actor, "repos/upload.html", context)


@routes.post("/upload/{rev:rev}")
async def post_upload(request: Request, rt: RuntimeDep, actor: ActorDep) -> Response:
    """Who may write is settled before the first byte is read; a script gets JSON with `location`."""
    if actor.user_id is None:
        return redirect_to_login(request)

    def check(form: Form) -> None:
        # A script that sends an Authorization header cannot be a page of another site.
        if actor.token_id is None:
            check_csrf(request, actor, form)

    repo, target, room = await run_in_threadpool(_open, request, rt, actor)
    with UploadReader(request, rt.settings.tmp_root, check, room) as reader:
        form = await reader.read()
        await run_in_threadpool(_commit, rt, actor, target, form, reader.files)
        count = len(reader.files)
    folder = form.text("folder").strip("/")
    location = file_href(repo, "tree", str(request.path_params["rev"]), folder)
    message = lazy("Files committed: %(count)s.", count=count)
    answer = redirect_page(request, location, message)
    if request.headers.get("x-requested-with") == "upload":
        scripted = JSONResponse({"location": location})
        scripted.raw_headers += [item for item in answer.raw_headers if item[0] == b"set-cookie"]
        return scripted
    return answer


def _open(request: Request, rt: Runtime, actor: Actor) -> tuple[Repo, CommitTarget, int | None]:
    with rt.database.reading() as db:
        repo = page_repo(request, db, actor)
        check_write(actor, repo)
        rev = str(request.path_params["rev"])
        target = open_target(db, rt, actor, repo.repo_type, repo.namespace.name, repo.name, rev)
        return repo, target, room_bytes(db, rt.settings, repo.namespace)


def _commit(rt: Runtime, actor: Actor, target: CommitTarget, form: Form, files: list[StagedFile]) -> None:
    if not files:
        raise BadRequest(lazy("files is empty: choose at least one file."))
    folder = form.text("folder").strip("/")
    paths = [
        check_file_path(f"{folder}/{item.name}" if folder else item.name, field="files") for item in files
    ]
    if len(set(paths)) < len(paths):
        raise BadRequest(lazy("files names the same path twice: give each file a name of its own."))
    questions = [
        UploadQuestion(path, item.size_bytes, item.sample) for path, item in zip(paths, files, strict=True)
    ]
    advice = advise_uploads(rt, target, questions)
    summary = form.text("summary") or (
        f"Upload {paths[0]}" if len(paths) == 1 else f"Upload {len(paths)} files"
    )
    with CommitDraft(rt, actor, target) as draft:
        draft.set_header(summary, form.text("description"), None)
        for path, item, answer in zip(paths, files, advice, strict=True):
            if answer.mode == "regular":
                draft.add_file(path, item.path.read_bytes())
            else:
                _store_large(rt, target, item)
                draft.add_large(path, item.sha256, item.size_bytes)
        draft.finish()


def _store_large(rt: Runtime, target: CommitTarget, item: StagedFile) -> None:
    """Bytes first, then the right to them."""
    put_lfs_object(rt, item.path, item.sha256, item.size_bytes, sha256=item.sha256)
    with rt.database.writing() as db:
        repo = db.get_one(Repo, target.repo_id)
        check_room(db, rt.settings, repo.namespace, item.size_bytes)
        claim(db, repo, item.sha256, item.size_bytes)
