"""The storage of a repository: what it takes, what sharing saves, what can go; and taking it out."""

from __future__ import annotations

import hashlib
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest, Conflict
from llmos.core.pagination import decode_cursor, encode_cursor
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
)
from llmos.features.repos.cursors import cursor_int, cursor_text
from llmos.features.repos.lfs_files import MAX_DELETIONS, delete_lfs_files
from llmos.features.repos.lfs_removal import list_removed_files, restore_lfs_files
from llmos.features.repos.models import Repo
from llmos.features.repos.pages.bars import Segment, stack
from llmos.features.repos.pages.frame import Frame, repo_frame
from llmos.features.repos.pages.routes import RepoRoutes, file_href, page_repo, repo_href
from llmos.features.repos.policy import check_admin, check_write
from llmos.features.repos.storage_report import StorageSums
from llmos.features.repos.storage_view import (
    STATES,
    RepoStorage,
    StoredObject,
    plan_removal,
    read_storage,
)
from llmos.infra.git.revisions import BRANCH_PREFIX, TAG_PREFIX
from llmos.infra.i18n import Locale, lazy, translator
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.ui.filters import with_query

routes = RepoRoutes()
PAGE_SIZE = 50
SHOWN_PATHS = 20
SHOWN_REFS = 20


def storage_href(repo: Repo) -> str:
    return f"{repo_href(repo)}/settings/storage"


@routes.get("/settings/storage")
def storage_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    """For those who may write; the buttons that remove are the owner's."""
    repo = page_repo(request, db, actor)
    if actor.user_id is None:
        return redirect_to_login(request)
    storage = read_storage(db, actor, rt, repo)
    locale = request_locale(request, actor)
    frame = repo_frame(db, rt, actor, repo, locale, "storage")
    state = request.query_params.get("state", "")
    rows, next_href = _rows(repo, storage, state, request.query_params.get("after"))
    context: dict[str, Any] = {
        "frame": frame,
        "sums": storage.sums,
        "uses": _uses(storage, locale),
        "savings": savings_bar(storage.sums, locale),
        "states": _state_tabs(repo, storage, state, locale),
        "state_labels": _state_labels(locale),
        "rows": rows,
        "next_href": next_href,
        "paths": storage.by_path()[:SHOWN_PATHS],
        "largest_path_bytes": max((item.size_bytes for item in storage.by_path()[:1]), default=0),
        "refs": [_ref_view(repo, *item) for item in storage.by_ref()[:SHOWN_REFS]],
        "is_complete": storage.history.is_complete,
        "old_count": len(storage.old_oids()),
        "old_bytes": storage.bytes_in("history") + storage.bytes_in("unused"),
        "removed": list_removed_files(db, actor, repo),
        "action": storage_href(repo),
        "grace_days": rt.settings.gc_grace_days,
        "namespace_href": f"/{repo.namespace.name}/-/storage",
    }
    return render_page(request, actor, "repos/storage.html", context)


def _uses(storage: RepoStorage, locale: Locale) -> list[Segment]:
    labels = _state_labels(locale)
    return stack([(labels[state], storage.bytes_in(state), f"bar-{state}") for state in STATES])


def savings_bar(sums: StorageSums | None, locale: Locale) -> list[Segment]:
    """What is stored beside what was saved; empty where nothing was counted."""
    _ = translator(locale).gettext
    if sums is None or not sums.logical_bytes:
        return []
    return stack(
        [
            (_("Stored"), sums.stored_bytes, "bar-stored"),
            (_("Saved by sharing chunks"), sums.shared_bytes, "bar-shared"),
            (_("Saved by compression"), sums.compressed_bytes, "bar-compressed"),
        ]
    )


def _state_labels(locale: Locale) -> dict[str, str]:
    _ = translator(locale).gettext
    return {
        "current": _("In the default branch"),
        "other": _("In other branches and tags"),
        "history": _("Only in history"),
        "unused": _("In no revision"),
    }


def _state_tabs(repo: Repo, storage: RepoStorage, current: str, locale: Locale) -> list[dict[str, Any]]:
    _ = translator(locale).gettext
    counts = {state: sum(item.state == state for item in storage.objects) for state in STATES}
    tabs = [
        {"label": _("All"), "href": storage_href(repo), "count": len(storage.objects), "is_on": not current}
    ]
    for state, label in _state_labels(locale).items():
        href = with_query(storage_href(repo), {"state": state}) + "#files"
        if counts[state]:
            tabs.append({"label": label, "href": href, "count": counts[state], "is_on": current == state})
    return tabs


def _rows(
    repo: Repo, storage: RepoStorage, state: str, cursor: str | None
) -> tuple[list[dict[str, Any]], str | None]:
    if state and state not in STATES:
        raise BadRequest(lazy("state must be one of %(states)s.", states=", ".join(STATES)))
    items = [item for item in storage.objects if not state or item.state == state]
    after = decode_cursor(cursor, 2)
    if after:
        mark = (-cursor_int(after[0]), cursor_text(after[1]))
        items = [item for item in items if (-item.size_bytes, item.oid) > mark]
    next_href = None
    if len(items) > PAGE_SIZE:
        last = items[PAGE_SIZE - 1]
        query = {"after": encode_cursor([last.size_bytes, last.oid])} | ({"state": state} if state else {})
        next_href = with_query(storage_href(repo), query)
    return [_row(repo, item) for item in items[:PAGE_SIZE]], next_href


def _row(repo: Repo, item: StoredObject) -> dict[str, Any]:
    rev = _short(item.refs[0]) if item.refs else None
    return {
        "oid": item.oid,
        "path": item.path,
        "href": file_href(repo, "blob", rev, item.path) if rev else None,
        "size_bytes": item.size_bytes,
        "created_at": item.created_at,
        "state": item.state,
        "refs": [_short(ref) for ref in item.refs[:3]],
        "more_refs": max(len(item.refs) - 3, 0),
        "commit_count": item.commit_count,
    }


def _short(ref: str) -> str:
    return ref.removeprefix(BRANCH_PREFIX).removeprefix(TAG_PREFIX)


def _ref_view(repo: Repo, ref: str, count: int, size_bytes: int) -> dict[str, Any]:
    kind = "tag" if ref.startswith(TAG_PREFIX) else "branch" if ref.startswith(BRANCH_PREFIX) else "other"
    name = _short(ref)
    href = file_href(repo, "tree", name)
    return {"name": name, "kind": kind, "href": href, "count": count, "size_bytes": size_bytes}


def _chosen(storage: RepoStorage, which: str, oids: list[str]) -> list[str]:
    if which == "old":
        return storage.old_oids()[:MAX_DELETIONS]
    return oids[:MAX_DELETIONS]


def _mark(oids: list[str]) -> str:
    """Names a selection, so that what is removed is what the preview showed."""
    return hashlib.sha256("".join(sorted(oids)).encode()).hexdigest()[:16]


@routes.get("/settings/storage/remove")
def preview_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    """Exactly what would go, before anything does."""
    repo = page_repo(request, db, actor)
    if actor.user_id is None:
        return redirect_to_login(request)
    check_write(actor, repo)
    check_admin(actor, repo)
    query = request.query_params
    return _preview(request, rt, db, actor, repo, query.get("which", ""), query.getlist("oid"))


def _preview(
    request: Request, rt: Runtime, db: Session, actor: Actor, repo: Repo, which: str, oids: list[str],
    error: Any = None,
) -> Response:  # fmt: skip
    storage = read_storage(db, actor, rt, repo)
    plan = plan_removal(db, rt, repo, storage, _chosen(storage, which, oids))
    locale = request_locale(request, actor)
    frame: Frame = repo_frame(db, rt, actor, repo, locale, "storage")
    context = {
        "frame": frame,
        "rows": [_row(repo, item) for item in plan.objects],
        "plan": plan,
        "refs": [_short(ref) for ref in plan.refs],
        "which": which,
        "mark": _mark([item.oid for item in plan.objects]),
        "state_labels": _state_labels(locale),
        "is_used": any(item.state in ("current", "other") for item in plan.objects),
        "is_in_history": any(item.commit_count for item in plan.objects),
        "action": storage_href(repo),
        "grace_days": rt.settings.gc_grace_days,
        "error": error,
    }
    return render_page(request, actor, "repos/storage_remove.html", context, status=400 if error else 200)


@routes.post("/settings/storage")
def post_storage(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    """`action` is remove (with the repository's name typed in `confirm`) or restore."""
    if actor.user_id is None:
        return redirect_to_login(request)
    action = form.text("action")
    if action not in ("remove", "restore"):
        raise BadRequest(lazy("action must be remove or restore."))
    with rt.database.reading() as db:
        repo = page_repo(request, db, actor)
        check_admin(actor, repo)
        if action == "remove":
            which, oids = form.text("which"), form.texts("oid")
            if form.text("confirm") != repo.repo_name:
                message = lazy("Type %(name)s exactly, to show that you mean it.", name=repo.repo_name)
                return _preview(request, rt, db, actor, repo, which, oids, message)
            oids = _chosen(read_storage(db, actor, rt, repo), which, oids)
            if form.text("mark") and form.text("mark") != _mark(oids):
                raise Conflict(lazy("Something changed since the preview: look at it again."))
    if action == "restore":
        return _restore(request, rt, actor, form.texts("oid"))
    count = delete_lfs_files(rt, actor, repo, oids, rewrite_history=form.text("history") == "rewrite")
    days = rt.settings.gc_grace_days
    message = lazy("%(count)s removed. For %(days)s days they can be brought back.", count=count, days=days)
    return redirect_page(request, storage_href(repo), message)


def _restore(request: Request, rt: Runtime, actor: Actor, oids: list[str]) -> Response:
    with rt.database.writing() as db:
        repo = page_repo(request, db, actor)
        count = restore_lfs_files(db, rt.settings, actor, repo, oids)
        href = storage_href(repo)
    return redirect_page(request, href, lazy("%(count)s brought back.", count=count))
