"""The page of one thread: what was said and what happened, the merge box, the form to answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest, Forbidden, LlmosError
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import render_page, request_locale
from llmos.features.discussions.models import DRAFT, OPEN, Comment
from llmos.features.discussions.pages.line_parts import line_part
from llmos.features.discussions.pages.merge_box import read_merge_box
from llmos.features.discussions.pages.opening import git_commands
from llmos.features.discussions.pages.spots import (
    can_read_files,
    repo_of,
    repo_spot,
    tell_opened,
    thread_head,
)
from llmos.features.discussions.pages.thread_parts import (
    CommentItem,
    LinePart,
    Spot,
    emojis,
    has_maths,
    start_reading,
    thread_items,
)
from llmos.features.discussions.pages.window import Window, read_window
from llmos.features.discussions.policy import get_rules
from llmos.features.discussions.pull_state import PullState, read_pull_state
from llmos.features.discussions.suggestions import find_suggestion
from llmos.features.repos.pages.routes import RepoRoutes, repo_href
from llmos.features.repos.places import open_git
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.urls import base_url
from llmos.ui.views import Person

routes = RepoRoutes()


@routes.get("/discussions/{num:int}")
def conversation_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    """`?after=<row>&until=<row>` shows a stretch of a long thread."""
    spot = repo_spot(request, rt, db, actor)
    tell_opened(rt, db, actor, spot.thread)
    return render_conversation(request, rt, db, actor, spot)


def row_number(request: Request, name: str) -> int:
    """A row's id in the query; 0 where there is none."""
    text = request.query_params.get(name) or "0"
    if not text.isdecimal() or len(text) > 18:
        raise BadRequest(lazy("%(name)s must be a whole number.", name=name))
    return int(text)


def render_conversation(
    request: Request,
    rt: Runtime,
    db: Session,
    actor: Actor,
    spot: Spot,
    *,
    refusal: LlmosError | None = None,
    kept: Mapping[str, str] | None = None,
) -> Response:
    """The page; after a refusal with its reason, and with what was typed (`kept`: text, summary, body)."""
    locale = request_locale(request, actor)
    thread = spot.thread
    is_form = refusal is not None
    after, until = (0, 0) if is_form else (row_number(request, "after"), row_number(request, "until"))
    window = read_window(db, thread, after=after, until=until)
    head = thread_head(db, actor, spot, locale)
    state = read_pull_state(rt, repo_of(spot), thread) if thread.is_pull_request else None
    lines = _lines(db, rt, actor, spot, window)
    reading = start_reading(
        db,
        actor,
        spot,
        window.comments,
        lines=lines,
        appliable=applicable(actor, spot, window.comments, is_keeper=head.can_moderate),
    )
    items = thread_items(db, reading, spot, window, locale)
    context: dict[str, Any] = {
        **spot.shell(locale),
        "head": head,
        "base": spot.context,
        "items": items,
        "emojis": emojis(reading),
        "is_from_start": window.is_from_start,
        "has_maths": has_maths(items),
        "box": read_merge_box(db, rt, actor, spot, state) if state is not None else None,
        "people": _people(items),
        "why_not": _why_not(db, actor, spot, is_keeper=head.can_moderate),
        "how_to_push": _how_to_push(request, rt, actor, spot, state),
        "error": refusal.message if refusal else "",
        "kept": {"text": "", "summary": None, "body": None, **(kept or {})},
    }
    status = refusal.status if refusal else 200
    return render_page(request, actor, "discussions/conversation.html", context, status=status)


def _lines(db: Session, rt: Runtime, actor: Actor, spot: Spot, window: Window) -> dict[int, LinePart]:
    found = [comment for comment in window.comments if comment.path is not None]
    if not found:
        return {}
    repo = repo_of(spot)
    git_repo = open_git(rt, repo) if can_read_files(db, actor, repo) else None
    return {comment.id: line_part(git_repo, comment, spot.href) for comment in found}


def applicable(actor: Actor, spot: Spot, comments: Sequence[Comment], *, is_keeper: bool) -> frozenset[int]:
    """The suggestions among the comments that the actor may commit: the author, and who writes here."""
    is_author = actor.user_id is not None and spot.thread.author_id == actor.user_id
    if spot.thread.status not in (OPEN, DRAFT) or not (is_author or is_keeper):
        return frozenset()
    return frozenset(comment.id for comment in comments if can_be_applied(comment))


def can_be_applied(comment: Comment) -> bool:
    """Whether the comment still offers other lines."""
    is_there = comment.path is not None and comment.side == "new" and comment.resolved_at is None
    return is_there and not comment.is_hidden and find_suggestion(comment.text) is not None


def _people(items: list[Any]) -> list[Person]:
    found: dict[str, Person] = {}
    for item in items:
        person = item.view.author if isinstance(item, CommentItem) else getattr(item, "person", None)
        if person is not None:
            found.setdefault(person.name, person)
    return list(found.values())[:24]


def _why_not(db: Session, actor: Actor, spot: Spot, *, is_keeper: bool) -> str:
    """Why a signed-in reader may not answer; empty where they may, as far as costs no question.

    Who is blocked or screened is told when they send, and keeps the text.
    """
    if actor.user_id is None:
        return ""
    try:
        actor.check_not_suspended()
    except Forbidden as refusal:
        return refusal.message
    if is_keeper:
        return ""
    if spot.thread.is_locked:
        return lazy("This thread is locked: only maintainers may write in it.")
    if get_rules(db, repo_of(spot).id).are_discussions_disabled:
        return lazy("Discussions and pull requests are switched off in this repository.")
    return ""


def _how_to_push(
    request: Request, rt: Runtime, actor: Actor, spot: Spot, state: PullState | None
) -> dict[str, str] | None:
    """Commands for who may add commits to a live pull request."""
    thread = spot.thread
    if state is None or actor.user_id is None or thread.status not in (OPEN, DRAFT):
        return None
    repo = repo_of(spot)
    kind = "" if repo.repo_type.value == "model" else f" --repo-type {repo.repo_type.value}"
    address = f"{base_url(request, rt.settings)}{repo_href(repo)}"
    return {
        "git": git_commands(address, repo.name, str(thread.num)),
        "hf": f"hf upload {repo.repo_name} ./my-folder{kind} --revision refs/pr/{thread.num}",
    }
