"""What a pull request changes: commits, the files with comments on their lines, reviews."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pygit2
from fastapi import Request
from fastapi.responses import Response
from markupsafe import Markup
from sqlalchemy.orm import Session

from llmos.core.errors import LlmosError, NotFound
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    page_context,
    redirect_page,
    render_page,
    request_locale,
)
from llmos.features.discussions.models import DRAFT, OPEN, Comment
from llmos.features.discussions.pages.comment_pages import sign_in_first
from llmos.features.discussions.pages.conversation import applicable
from llmos.features.discussions.pages.line_parts import current_line, line_part
from llmos.features.discussions.pages.note_parts import by_line, note_items
from llmos.features.discussions.pages.spots import pull_spot, repo_of, thread_head
from llmos.features.discussions.pages.thread_parts import (
    CommentItem,
    Spot,
    comment_item,
    emojis,
    start_reading,
)
from llmos.features.discussions.pull_state import PullState, pull_commits, pull_diff, read_pull_state
from llmos.features.discussions.queries import list_line_comments
from llmos.features.discussions.review_notes import list_notes, take_notes
from llmos.features.discussions.reviews import submit_review
from llmos.features.discussions.weight_changes import list_large_changes
from llmos.features.repos.pages.diffs import PAGE_LIMITS, diff_views
from llmos.features.repos.pages.files import commit_view
from llmos.features.repos.pages.routes import RepoRoutes
from llmos.features.repos.places import open_git
from llmos.infra.git.diff import CommitDiff
from llmos.infra.i18n import Locale, lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.ui.filters import with_query
from llmos.ui.render import PageContext, environment
from llmos.ui.views import DiffFile

routes = RepoRoutes()


@routes.get("/discussions/{num:int}/commits")
def commits_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    spot = pull_spot(request, rt, db, actor)
    locale = request_locale(request, actor)
    repo = repo_of(spot)
    commits = pull_commits(rt, repo, read_pull_state(rt, repo, spot.thread))
    context = {
        **spot.shell(locale),
        "head": thread_head(db, actor, spot, locale, "commits", commits=len(commits)),
        "commits": [commit_view(repo, commit) for commit in commits],
    }
    return render_page(request, actor, "discussions/commits.html", context)


@routes.get("/discussions/{num:int}/files")
def files_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    return _render_files(request, rt, db, actor, pull_spot(request, rt, db, actor))


def _render_files(
    request: Request,
    rt: Runtime,
    db: Session,
    actor: Actor,
    spot: Spot,
    *,
    refusal: LlmosError | None = None,
    kept: Mapping[str, str] | None = None,
) -> Response:
    locale = request_locale(request, actor)
    repo = repo_of(spot)
    state = read_pull_state(rt, repo, spot.thread)
    diff = pull_diff(rt, repo, state, PAGE_LIMITS)
    page = page_context(request, actor)
    comments = list_line_comments(db, spot.thread)
    shown = _shown_lines(diff)
    threads, elsewhere = _line_threads(db, rt, actor, spot, state, comments, shown, page)
    notes = list_notes(db, actor, spot.thread)
    unsent = note_items(db, open_git(rt, repo), actor, spot, notes, state, locale) if notes else []
    for (path, place), found in by_line(unsent, shown).items():
        lines = threads.setdefault(path, {})
        lines[place] = lines.get(place, Markup()) + _fragment(locale, "line_notes", found, page)
    is_live = spot.thread.status in (OPEN, DRAFT)
    can_comment = actor.user_id is not None and is_live
    head = thread_head(db, actor, spot, locale, "files", files=diff.file_count if diff else 0)
    context: dict[str, Any] = {
        **spot.shell(locale),
        "head": head,
        "diff": diff,
        "files": _views(spot, diff, state, threads, can_comment, locale) if diff is not None else [],
        "elsewhere": elsewhere,
        "notes": notes,
        "homeless": [item for item in unsent if (item.path, item.place) not in shown],
        "state": state,
        "can_review": can_comment,
        "is_own": spot.thread.author_id == actor.user_id,
        "error": refusal.message if refusal else "",
        "kept": {"text": "", "verdict": "comment", **(kept or {})},
    }
    status = refusal.status if refusal else 200
    return render_page(request, actor, "discussions/files.html", context, status=status)


def _views(
    spot: Spot,
    diff: CommitDiff,
    state: PullState,
    threads: Mapping[str, Mapping[str, Markup]],
    can_comment: bool,
    locale: Locale,
) -> list[DiffFile]:
    repo, found = repo_of(spot), []
    for view in diff_views(repo, diff, state.head_oid or "", locale):
        extra = None
        if view.path.endswith(".safetensors"):
            href = with_query(f"{spot.href}/tensors", {"path": view.path})
            extra = _fragment(locale, "tensors_link", href)
        comment_href = f"{spot.href}/line" if can_comment and view.hunks else None
        found.append(
            replace(view, comment_href=comment_href, threads=threads.get(view.path, {}), extra=extra)
        )
    return found


def _fragment(locale: Locale, macro: str, *values: Any) -> Markup:
    """A macro of `discussions/_lines.html` as HTML."""
    module = environment(locale).get_template("discussions/_lines.html").module
    return Markup(getattr(module, macro)(*values))


def _line_threads(
    db: Session,
    rt: Runtime,
    actor: Actor,
    spot: Spot,
    state: PullState,
    comments: Mapping[str, Sequence[Comment]],
    shown: set[tuple[str, str]],
    page: PageContext,
) -> tuple[dict[str, dict[str, Markup]], list[CommentItem]]:
    """By path and `side:line` the comments of a line, as HTML; and those whose line is not shown."""
    every = [comment for found in comments.values() for comment in found]
    if not every:
        return {}, []
    git_repo = open_git(rt, repo_of(spot))
    parts = {comment.id: line_part(git_repo, comment, spot.href) for comment in every}
    head = thread_head(db, actor, spot, page.locale)
    can_apply = applicable(actor, spot, every, is_keeper=head.can_moderate)
    reading = start_reading(db, actor, spot, every, lines=parts, appliable=can_apply)
    boxes: dict[str, dict[str, list[CommentItem]]] = defaultdict(lambda: defaultdict(list))
    elsewhere: list[CommentItem] = []
    for comment in every:
        item = comment_item(db, reading, spot, comment, page.locale)
        place = _place(git_repo, comment, state)
        if place is not None and (comment.path, place) in shown:
            boxes[comment.path or ""][place].append(item)
        else:
            elsewhere.append(item)
    can_reply = actor.user_id is not None and reading.may_write
    return {
        path: {
            place: _fragment(page.locale, "line_thread", items, page, emojis(reading), spot.href, can_reply)
            for place, items in lines.items()
        }
        for path, lines in boxes.items()
    }, elsewhere


def _place(git_repo: pygit2.Repository, comment: Comment, state: PullState) -> str | None:
    line = current_line(git_repo, comment, state)
    return f"{comment.side}:{line}" if line is not None else None


def _shown_lines(diff: CommitDiff | None) -> set[tuple[str, str]]:
    """The lines the page shows, as the design system names them: a removed one by its old number."""
    found: set[tuple[str, str]] = set()
    for file in diff.files if diff is not None else ():
        for hunk in file.hunks:
            for line in hunk.lines:
                side = f"old:{line.old_line}" if line.origin == "-" else f"new:{line.new_line}"
                found.add((file.new_path, side))
    return found


@routes.get("/discussions/{num:int}/tensors")
def tensors_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    """`?path=model.safetensors`: which tensors a pull request adds, removes or changes."""
    spot = pull_spot(request, rt, db, actor)
    locale = request_locale(request, actor)
    repo, path = repo_of(spot), request.query_params.get("path", "")
    state = read_pull_state(rt, repo, spot.thread)
    diff = pull_diff(rt, repo, state, PAGE_LIMITS)
    files = [file for file in diff.files if file.new_path == path] if diff is not None else []
    if diff is None or not files:
        raise NotFound(lazy("This pull request does not change %(path)r.", path=path[:200]))
    change = list_large_changes(db, rt, repo, state, replace(diff, files=tuple(files))).get(path)
    is_part = request.headers.get("hx-request") == "true"
    context: dict[str, Any] = {"change": change, "path": path}
    if not is_part:
        context |= {**spot.shell(locale), "head": thread_head(db, actor, spot, locale, "files")}
    template = "discussions/_tensors.html" if is_part else "discussions/tensors.html"
    return render_page(request, actor, template, context)


@routes.post("/discussions/{num:int}/review")
def post_review(request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    """Approve, ask for changes, or comment on the whole, with the notes gathered on lines."""
    spot = pull_spot(request, rt, db, actor)
    if actor.user_id is None:
        return sign_in_first(request, spot)
    kept = {"text": form.text("text", strip=False), "verdict": form.text("verdict")}
    try:
        notes = take_notes(db, actor, spot.thread)
        submit_review(db, actor, spot.thread, kept["verdict"], kept["text"], notes)
    except LlmosError as refusal:
        db.rollback()
        with rt.database.reading() as look:
            spot = pull_spot(request, rt, look, actor)
            return _render_files(request, rt, look, actor, spot, refusal=refusal, kept=kept)
    return redirect_page(request, spot.href, lazy("Your review is in."))
