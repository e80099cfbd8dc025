"""Branches and tags: the list, making and deleting them, and protecting branches."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from llmos.core.errors import LlmosError
from llmos.core.text import LazyString
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
)
from llmos.features.repos import branch_rules, refs
from llmos.features.repos.models import Repo
from llmos.features.repos.pages.files import commit_view
from llmos.features.repos.pages.frame import repo_frame
from llmos.features.repos.pages.routes import RepoRoutes, file_href, page_repo, repo_href, rev_url
from llmos.features.repos.places import open_git
from llmos.features.repos.policy import check_write
from llmos.infra.git.commits import get_commit
from llmos.infra.git.repository import default_branch
from llmos.infra.git.revisions import Ref, list_refs
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep

routes = RepoRoutes()
MAX_SHOWN = 200


@routes.get("/branches")
def branches_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    return _render(request, rt, db, actor, page_repo(request, db, actor))


def _render(
    request: Request, rt: Runtime, db: Any, actor: Actor, repo: Repo, error: str = "", status: int = 200
) -> Response:
    frame = repo_frame(db, rt, actor, repo, request_locale(request, actor), "history")
    rules = branch_rules.list_branch_rules(db, repo)
    db.close()
    git_repo = open_git(rt, repo)
    found, main = list_refs(git_repo), default_branch(git_repo)

    def row(ref: Ref) -> dict[str, Any]:
        commit = commit_view(repo, get_commit(git_repo, ref.target))
        compare = f"{repo_href(repo)}/compare/{rev_url(main)}...{rev_url(ref.name)}"
        return {
            "name": ref.name,
            "href": file_href(repo, "tree", ref.name),
            "commit": commit,
            "is_main": ref.name == main,
            "is_protected": any(fnmatchcase(ref.name, rule) for rule in rules),
            "compare_href": compare if ref.name != main else None,
        }

    context = {
        "frame": frame,
        "branches": [row(ref) for ref in found.branches[:MAX_SHOWN]],
        "tags": [row(ref) for ref in reversed(found.tags[-MAX_SHOWN:])],
        "rules": rules,
        "error": error,
    }
    return render_page(request, actor, "repos/branches.html", context, status=status)


@routes.post("/branches")
def post_branches(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, form: PageForm) -> Response:
    """`action` is create-branch, create-tag, delete-branch, delete-tag, protect or unprotect."""
    repo = page_repo(request, db, actor)
    if actor.user_id is None:
        return redirect_to_login(request)
    check_write(actor, repo)
    name, action = form.text("name"), form.text("action")
    is_protected = refs.is_protected(db, open_git(rt, repo), repo, name)
    db.close()
    try:
        if action in ("protect", "unprotect"):
            message = _change_rules(rt, actor, repo, action, form.text("pattern"))
        elif action == "create-branch":
            refs.create_branch(rt, actor, repo, name, starting_point=form.text("from") or None)
            message = lazy("Branch %(name)s created.", name=name)
        elif action == "create-tag":
            refs.create_tag(rt, actor, repo, name, form.text("from") or "HEAD", form.text("message") or None)
            message = lazy("Tag %(name)s created.", name=name)
        elif action == "delete-branch":
            refs.delete_branch(rt, actor, repo, name, is_protected_branch=is_protected)
            message = lazy("Branch %(name)s deleted.", name=name)
        else:
            refs.delete_tag(rt, actor, repo, name)
            message = lazy("Tag %(name)s deleted.", name=name)
    except LlmosError as refusal:
        return _render(request, rt, db, actor, repo, refusal.message, refusal.status)
    return redirect_page(request, f"{repo_href(repo)}/branches", message)


def _change_rules(rt: Runtime, actor: Actor, repo: Repo, action: str, pattern: str) -> LazyString:
    with rt.database.writing() as db:
        if action == "protect":
            branch_rules.create_branch_rule(db, actor, repo, pattern)
            return lazy("Branches named %(pattern)s are protected.", pattern=pattern)
        branch_rules.delete_branch_rule(db, actor, repo, pattern)
        return lazy("Branches named %(pattern)s are no longer protected.", pattern=pattern)
