"""History: lists of commits, one commit with its changes, comparisons, who wrote which line."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from llmos.core.errors import BadRequest, EntryNotFound, RevisionNotFound
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import render_page, request_locale
from llmos.features.repos.files import list_history, read_commit
from llmos.features.repos.models import Repo
from llmos.features.repos.pages.diffs import PAGE_LIMITS, diff_views
from llmos.features.repos.pages.files import commit_view
from llmos.features.repos.pages.frame import repo_frame
from llmos.features.repos.pages.revisions import crumbs_of, place_of, ref_menu
from llmos.features.repos.pages.routes import RepoRoutes, file_href, page_repo, repo_href, rev_url
from llmos.features.repos.places import open_git
from llmos.features.repos.policy import check_content
from llmos.infra.git.commits import BlameHunk, blame, get_commit, list_commits
from llmos.infra.git.diff import diff_commits
from llmos.infra.git.merge import ahead_behind, merge_base
from llmos.infra.git.revisions import list_refs, resolve
from llmos.infra.git.trees import access_entry, read_blob
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.ui.filters import with_query
from llmos.ui.highlight import highlight_file

routes = RepoRoutes()
PAGE_SIZE = 40
MAX_COMPARED_COMMITS = 100
MAX_BLAME_BYTES = 512 * 1024


@routes.get("/commits/{rev:rev}")
@routes.get("/commits/{rev:rev}/{path:rest}")
def history_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    repo = page_repo(request, db, actor)
    frame = repo_frame(db, rt, actor, repo, request_locale(request, actor), "history")
    db.close()
    git_repo = open_git(rt, repo)
    place = place_of(request, git_repo)
    skip = _skip(request.query_params.get("skip"))
    commits: list[dict[str, Any]] = []
    total, older = 0, None
    if place.commit is not None:
        # A full id keeps the pages of one reading together while the branch moves on.
        start = request.query_params.get("from") or place.commit
        page = list_history(rt, repo, start, path=place.path or None, skip=skip, limit=PAGE_SIZE)
        commits, total = [commit_view(repo, commit) for commit in page.items], page.total or 0
        here = file_href(repo, "commits", place.rev, place.path)
        if page.next_cursor:
            older = with_query(here, {"skip": page.next_cursor, "from": start})
    newer = None
    if skip:
        back = {"skip": max(skip - PAGE_SIZE, 0) or None, "from": request.query_params.get("from")}
        newer = with_query(file_href(repo, "commits", place.rev, place.path), back)
    context = {
        "frame": frame,
        "place": place,
        "refs": ref_menu(git_repo, repo, place, "commits"),
        "crumbs": crumbs_of(repo, place),
        "commits": commits,
        "total": total,
        "newer": newer,
        "older": older,
    }
    return render_page(request, actor, "repos/history.html", context)


def _skip(text: str | None) -> int:
    if text is None:
        return 0
    if not text.isdecimal() or len(text) > 9:
        raise BadRequest(lazy("skip must be a whole number."))
    return int(text)


@routes.get("/commit/{oid:seg}")
def commit_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    repo = page_repo(request, db, actor)
    check_content(db, actor, repo)
    frame = repo_frame(db, rt, actor, repo, request_locale(request, actor), "history")
    locale = request_locale(request, actor)
    db.close()
    commit, diff = read_commit(rt, repo, request.path_params["oid"], PAGE_LIMITS)
    context = {
        "frame": frame,
        "commit": commit_view(repo, commit),
        "files": diff_views(repo, diff, commit.oid, locale),
        "diff": diff,
    }
    return render_page(request, actor, "repos/commit.html", context)


@routes.get("/compare")
def compare_form(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    """`?base=…&head=…`, as the form sends it, in the form of an address to keep."""
    repo = page_repo(request, db, actor)
    base = request.query_params.get("base", "").strip()[:250]
    head = request.query_params.get("head", "").strip()[:250]
    if base and head and not any(ord(char) < 0x20 for char in base + head):
        return RedirectResponse(f"{repo_href(repo)}/compare/{rev_url(base)}...{rev_url(head)}", 303)
    return RedirectResponse(f"{repo_href(repo)}/branches", 303)


@routes.get("/compare/{spec:rest}")
def compare_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    """What `head` has that `base` lacks: commits, and the changes since they parted."""
    repo = page_repo(request, db, actor)
    check_content(db, actor, repo)
    locale = request_locale(request, actor)
    frame = repo_frame(db, rt, actor, repo, locale, "history")
    db.close()
    base, dots, head = str(request.path_params["spec"]).partition("...")
    if not dots:
        raise RevisionNotFound(lazy("Invalid rev id: name two revisions as base...head."))
    git_repo = open_git(rt, repo)
    old, new = resolve(git_repo, base), resolve(git_repo, head)
    common = merge_base(git_repo, old, new)
    diff = diff_commits(git_repo, common or old, new, PAGE_LIMITS)
    ahead, behind = ahead_behind(git_repo, new, old)
    commits = list_commits(git_repo, new, limit=min(ahead, MAX_COMPARED_COMMITS)) if ahead else []
    refs = list_refs(git_repo)
    context = {
        "frame": frame,
        "base": base,
        "head": head,
        "branches": [ref.name for ref in refs.branches][:200],
        "tag_names": [ref.name for ref in refs.tags][:200],
        "swap_href": f"{repo_href(repo)}/compare/{rev_url(head)}...{rev_url(base)}",
        "ahead": ahead,
        "behind": behind,
        "commits": [commit_view(repo, commit) for commit in commits],
        "files": diff_views(repo, diff, new, locale),
        "diff": diff,
    }
    return render_page(request, actor, "repos/compare.html", context)


@routes.get("/blame/{rev:rev}/{path:rest}")
def blame_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    repo = page_repo(request, db, actor)
    frame = repo_frame(db, rt, actor, repo, request_locale(request, actor), "files")
    git_repo = open_git(rt, repo)
    place = place_of(request, git_repo)
    check_content(db, actor, repo, place.path)
    db.close()
    if place.commit is None:
        raise EntryNotFound(lazy("Entry not found: this repository has no files yet."))
    entry = access_entry(git_repo, place.commit, place.path)
    data = read_blob(git_repo, entry.oid) if entry.type == "file" and entry.size <= MAX_BLAME_BYTES else b"\0"
    groups: list[dict[str, Any]] = []
    if entry.lfs is None and b"\0" not in data[:8000]:
        code = highlight_file(data.decode("utf-8", "replace"), place.path)
        groups = _blame_groups(repo, git_repo, code.lines, blame(git_repo, place.commit, place.path))
    context = {
        "frame": frame,
        "place": place,
        "crumbs": crumbs_of(repo, place),
        "groups": groups,
        "blob_href": file_href(repo, "blob", place.rev, place.path),
    }
    return render_page(request, actor, "repos/blame.html", context)


def _blame_groups(repo: Repo, git_repo: Any, lines: Any, hunks: list[BlameHunk]) -> list[dict[str, Any]]:
    """Neighbouring lines of one commit, with the commit beside the first of them."""
    known: dict[str, dict[str, Any]] = {}
    groups: list[dict[str, Any]] = []
    for hunk in hunks:
        if hunk.commit not in known:
            known[hunk.commit] = commit_view(repo, get_commit(git_repo, hunk.commit))
        first = hunk.first_line
        part = [
            {"number": number, "line": lines[number - 1]}
            for number in range(first, min(first + hunk.line_count, len(lines) + 1))
        ]
        if groups and groups[-1]["commit"]["oid"] == hunk.commit:
            groups[-1]["lines"] += part
        else:
            groups.append({"commit": known[hunk.commit], "lines": part})
    return groups
