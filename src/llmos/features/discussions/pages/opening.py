"""Starting a discussion, and the ways to a pull request."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from llmos.core.errors import LlmosError, NotFound
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
)
from llmos.features.discussions.pages.spots import list_href
from llmos.features.discussions.policy import check_can_open
from llmos.features.discussions.pulls import create_pull
from llmos.features.discussions.texts import MAX_TITLE_CHARS
from llmos.features.discussions.threads import open_thread
from llmos.features.repos.models import Repo
from llmos.features.repos.pages.frame import repo_frame
from llmos.features.repos.pages.routes import RepoRoutes, file_href, page_repo, repo_href
from llmos.features.repos.places import open_git
from llmos.infra.git.revisions import list_refs
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.urls import base_url
from llmos.ui.views import Option

routes = RepoRoutes()


@routes.get("/discussions/new")
def new_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    repo = page_repo(request, db, actor)
    if actor.user_id is None:
        return redirect_to_login(request)
    check_can_open(db, actor, repo)
    title = request.query_params.get("title", "")[:MAX_TITLE_CHARS].replace("\0", "")
    return discussion_form(request, rt, db, actor, repo, {"title": title, "text": ""})


@routes.post("/discussions/new")
def post_new(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    values = {"title": form.text("title"), "text": form.text("text", strip=False)}
    try:
        with rt.database.writing() as db:
            repo = page_repo(request, db, actor)
            if actor.user_id is None:
                return _sign_in(request, repo)
            thread = open_thread(db, actor, repo, values["title"], values["text"])
            num, href = thread.num, list_href(repo)
    except LlmosError as refusal:
        if isinstance(refusal, NotFound):
            raise
        with rt.database.reading() as db:
            repo = page_repo(request, db, actor)
            return discussion_form(request, rt, db, actor, repo, values, refusal)
    return redirect_page(request, f"{href}/{num}", lazy("Your discussion is open."))


def _sign_in(request: Request, repo: Repo) -> Response:
    return redirect_page(request, f"/login?next={list_href(repo)}")


def discussion_form(
    request: Request,
    rt: Runtime,
    db: Session,
    actor: Actor,
    repo: Repo,
    values: dict[str, str],
    refusal: LlmosError | None = None,
) -> Response:
    """The form for a new discussion, filled in with `title` and `text`."""
    context: dict[str, Any] = {
        "frame": repo_frame(db, rt, actor, repo, request_locale(request, actor), "community"),
        "href": list_href(repo),
        "values": values,
        "error": refusal.message if refusal else "",
        "max_title_chars": MAX_TITLE_CHARS,
        "draft": f"new-{repo.id}",
    }
    return render_page(
        request, actor, "discussions/new.html", context, status=refusal.status if refusal else 200
    )


@routes.get("/discussions/new-pull")
def new_pull_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    """The ways to propose a change: the editor of this site, the command line, a draft to push to."""
    repo = page_repo(request, db, actor)
    if actor.user_id is None:
        return redirect_to_login(request)
    check_can_open(db, actor, repo)
    return _pull_form(request, rt, db, actor, repo, {"title": "", "text": "", "base": ""})


@routes.post("/discussions/new-pull")
def post_new_pull(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, form: PageForm) -> Response:
    """Open a draft without changes, whose ref then takes commits."""
    repo = page_repo(request, db, actor)
    if actor.user_id is None:
        return _sign_in(request, repo)
    values = {
        "title": form.text("title"),
        "text": form.text("text", strip=False),
        "base": form.text("base"),
    }
    repo_id, href = repo.id, list_href(repo)
    db.close()
    try:
        num = create_pull(rt, actor, repo_id, values["title"], values["text"], base=values["base"] or None)
    except LlmosError as refusal:
        with rt.database.reading() as look:
            repo = page_repo(request, look, actor)
            return _pull_form(request, rt, look, actor, repo, values, refusal)
    return redirect_page(
        request, f"{href}/{num}", lazy("The draft is open: add commits to refs/pr/%(num)s.", num=num)
    )


def _pull_form(
    request: Request,
    rt: Runtime,
    db: Session,
    actor: Actor,
    repo: Repo,
    values: dict[str, str],
    refusal: LlmosError | None = None,
) -> Response:
    frame = repo_frame(db, rt, actor, repo, request_locale(request, actor), "community")
    branches = [ref.name for ref in list_refs(open_git(rt, repo)).branches][:200]
    kind = "" if repo.repo_type.value == "model" else f" --repo-type {repo.repo_type.value}"
    address = f"{base_url(request, rt.settings)}{repo_href(repo)}"
    context: dict[str, Any] = {
        "frame": frame,
        "href": list_href(repo),
        "values": {**values, "base": values["base"] or frame.main},
        "error": refusal.message if refusal else "",
        "max_title_chars": MAX_TITLE_CHARS,
        "branches": [Option(name, name) for name in branches],
        "is_empty": not branches,
        "files_href": file_href(repo, "tree", frame.main),
        "edit_href": file_href(repo, "edit", frame.main, "README.md"),
        "new_file_href": file_href(repo, "new", frame.main),
        "upload_command": f"hf upload {repo.repo_name} ./my-folder{kind} --create-pr",
        "git_commands": git_commands(address, repo.name, "N"),
        "draft": f"new-pull-{repo.id}",
    }
    return render_page(
        request, actor, "discussions/new_pull.html", context, status=refusal.status if refusal else 200
    )


def git_commands(address: str, folder: str, num: str) -> str:
    """How to add commits to a pull request with git."""
    return (
        f"git clone {address}\ncd {folder}\n"
        f"git fetch origin refs/pr/{num}:pr-{num}\ngit checkout pr-{num}\n"
        f'# edit, then:\ngit commit -am "Say what changes"\ngit push origin pr-{num}:refs/pr/{num}'
    )
