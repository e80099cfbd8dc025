"""The pages of one comment: editing, earlier versions, hiding, reacting, accepting as the answer.

`add_comment_pages` gives them to whoever has threads: repositories here, the forum elsewhere.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.errors import Conflict, Forbidden, LlmosError, NotFound
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import User
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
)
from llmos.features.discussions.comments import (
    EMOJI,
    MAX_REASON_CHARS,
    add_reaction,
    edit_comment,
    hide_comment,
    remove_reaction,
)
from llmos.features.discussions.models import Comment, CommentVersion, Reaction
from llmos.features.discussions.pages.thread_parts import Spot, person_of
from llmos.features.discussions.pages.window import is_whole, place_before
from llmos.features.discussions.policy import access_comment, can_edit, can_moderate
from llmos.features.discussions.queries import count_reactions, list_versions
from llmos.features.discussions.threads import accept_answer
from llmos.features.repos.policy import refuse
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.ui.filters import with_query
from llmos.ui.views import Reaction as ReactionView

MAX_DIFF_LINES = 4000

# The thread a request names, if the actor may see it; raises as `access_thread` does.
Locate = Callable[[Request, Runtime, Session, Actor], Spot]
# Registers an endpoint: method, what follows the address of the thread, the endpoint.
Add = Callable[[str, str, Callable[..., Any]], None]


@dataclass(frozen=True, slots=True)
class CommentPages:
    """The endpoints, for threads that `locate` finds; the path of a request holds `comment`."""

    locate: Locate

    def _find(
        self, request: Request, rt: Runtime, db: Session, actor: Actor, *, for_update: bool = False
    ) -> tuple[Spot, Comment]:
        spot = self.locate(request, rt, db, actor)
        public_id = str(request.path_params["comment"])
        return spot, access_comment(db, actor, spot.thread, public_id, for_update=for_update)

    def permalink(self, request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
        """To the part of the thread where the comment stands."""
        spot, comment = self._find(request, rt, db, actor)
        href = spot.href
        if not is_whole(spot.thread):
            href = with_query(href, {"after": place_before(db, spot.thread, comment) or None})
        return redirect_page(request, f"{href}#comment-{comment.public_id}")

    def edit_page(self, request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
        spot, comment = self._find(request, rt, db, actor)
        if actor.user_id is None:
            return redirect_to_login(request)
        if not can_edit(db, actor, spot.thread, comment):
            refuse(actor, lazy("Only its author may edit this comment."))
        if comment.is_hidden:
            raise Forbidden(lazy("This comment was hidden and can no longer be edited."))
        values = {"text": comment.text, "version": comment.version}
        return _edit_form(request, actor, spot, comment, values)

    def post_edit(self, request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
        text, version = form.text("text", strip=False), form.text("version")
        if_version = int(version) if version.isdecimal() and len(version) < 10 else None
        try:
            with rt.database.writing() as db:
                spot, comment = self._find(request, rt, db, actor)
                if actor.user_id is None:
                    return sign_in_first(request, spot)
                edit_comment(db, actor, spot.thread, comment, text, if_version=if_version)
        except LlmosError as refusal:
            if isinstance(refusal, NotFound):
                raise
            with rt.database.reading() as db:
                spot, comment = self._find(request, rt, db, actor)
                values = {"text": text, "version": comment.version}
                return _edit_form(request, actor, spot, comment, values, refusal)
        return redirect_page(request, spot.comment_href(comment), lazy("The comment is saved."))

    def history(self, request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
        """Every version of the text, each as the difference to the one before; newest first.

        htmx, and scripts that ask as it does, get a dialog.
        """
        spot, comment = self._find(request, rt, db, actor)
        is_author = actor.user_id is not None and comment.author_id == actor.user_id
        if comment.is_hidden and not is_author and not can_moderate(db, actor, spot.thread):
            raise NotFound(lazy("The earlier versions of a hidden comment are not shown."))
        versions = list_versions(db, [comment]).get(comment.id, [])
        views = _version_views(db, versions, comment)
        if request.headers.get("hx-request") == "true":
            part = {"public_id": comment.public_id, "versions": views}
            return render_page(request, actor, "discussions/_history_dialog.html", part)
        context = {
            **spot.shell(request_locale(request, actor)),
            "layout": spot.layout,
            "spot": spot,
            "back_href": spot.comment_href(comment),
            "versions": views,
        }
        return render_page(request, actor, "discussions/history.html", context)

    def hide_page(self, request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
        spot, comment = self._find(request, rt, db, actor)
        if actor.user_id is None:
            return redirect_to_login(request)
        is_author = comment.author_id == actor.user_id
        if not is_author and not can_moderate(db, actor, spot.thread):
            raise Forbidden(lazy("Only its author and maintainers may hide this comment."))
        context = {
            **spot.shell(request_locale(request, actor)),
            "layout": spot.layout,
            "spot": spot,
            "back_href": spot.comment_href(comment),
            "action": f"{spot.href}/comments/{comment.public_id}/hide",
            "excerpt": comment.text[:600],
            "author": person_of(comment.author),
            "max_reason_chars": MAX_REASON_CHARS,
        }
        return render_page(request, actor, "discussions/hide.html", context)

    def post_hide(self, request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
        with rt.database.writing() as db:
            spot, comment = self._find(request, rt, db, actor)
            if actor.user_id is None:
                return sign_in_first(request, spot)
            hide_comment(db, actor, spot.thread, comment, form.text("reason"))
        return redirect_page(request, spot.comment_href(comment), lazy("The comment is hidden."))

    def post_react(self, request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
        """React, or take the reaction back; htmx gets the row of reactions alone."""
        emoji = form.text("emoji")
        with rt.database.writing() as db:
            spot, comment = self._find(request, rt, db, actor)
            if actor.user_id is None:
                return sign_in_first(request, spot)
            if db.get(Reaction, (comment.id, actor.user_id, emoji[:16])) is not None:
                remove_reaction(db, actor, comment, emoji)
            else:
                add_reaction(db, actor, spot.thread, comment, emoji)
        if request.headers.get("hx-request") != "true":
            return redirect_page(request, spot.comment_href(comment))
        with rt.database.reading() as db:
            counts = count_reactions(db, actor, [comment]).get(comment.id, [])
        context = {
            "id": comment.public_id,
            "items": [ReactionView(count.emoji, count.count, count.is_mine) for count in counts],
            "action": f"{spot.href}/comments/{comment.public_id}/react",
            "emojis": EMOJI,
        }
        return render_page(request, actor, "discussions/_reactions.html", context)

    def post_answer(self, request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
        """Accept the comment as the answer (field `accept`), or no longer."""
        is_accepted = bool(form.text("accept"))
        with rt.database.writing() as db:
            spot, comment = self._find(request, rt, db, actor)
            if actor.user_id is None:
                return sign_in_first(request, spot)
            accept_answer(db, actor, spot.thread, comment if is_accepted else None)
        message = lazy("The answer is marked.") if is_accepted else lazy("No answer is marked any more.")
        return redirect_page(request, spot.comment_href(comment), message)


def add_comment_pages(add: Add, locate: Locate) -> None:
    """Register the pages of comments below the address of a thread."""
    pages = CommentPages(locate)
    base = "/comments/{comment:seg}"
    add("GET", base, pages.permalink)
    add("GET", f"{base}/edit", pages.edit_page)
    add("POST", f"{base}/edit", pages.post_edit)
    add("GET", f"{base}/history", pages.history)
    add("GET", f"{base}/hide", pages.hide_page)
    add("POST", f"{base}/hide", pages.post_hide)
    add("POST", f"{base}/react", pages.post_react)
    add("POST", f"{base}/answer", pages.post_answer)


def sign_in_first(request: Request, spot: Spot) -> Response:
    """Afterwards they come back to the thread, as the address of a form shows nothing."""
    return redirect_page(request, f"/login?next={quote(spot.href, safe='/')}")


def _edit_form(
    request: Request,
    actor: Actor,
    spot: Spot,
    comment: Comment,
    values: dict[str, Any],
    refusal: LlmosError | None = None,
) -> Response:
    """The form; where somebody saved meanwhile, with both texts and what differs."""
    is_conflict = isinstance(refusal, Conflict)
    differences = []
    if is_conflict:
        differences = text_differences(comment.text, str(values["text"]))
    context = {
        **spot.shell(request_locale(request, actor)),
        "layout": spot.layout,
        "spot": spot,
        "back_href": spot.comment_href(comment),
        "action": f"{spot.href}/comments/{comment.public_id}/edit",
        "public_id": comment.public_id,
        "values": values,
        "error": refusal.message if refusal is not None else "",
        "current": comment.text if is_conflict else None,
        "differences": differences,
        "is_required": not (spot.thread.is_pull_request and comment.id == spot.thread.first_comment_id),
    }
    status = refusal.status if refusal is not None else 200
    return render_page(request, actor, "discussions/edit_comment.html", context, status=status)


def text_differences(old: str, new: str) -> list[tuple[str, str]]:
    """Lines with `same`, `added` or `removed`, three lines of context around each change."""
    left, right = old.splitlines()[:MAX_DIFF_LINES], new.splitlines()[:MAX_DIFF_LINES]
    kinds = {" ": "same", "+": "added", "-": "removed", "@": "hunk"}
    lines = list(difflib.unified_diff(left, right, lineterm="", n=3))[2:]
    return [(kinds[line[0]], "" if line[0] == "@" else line[1:]) for line in lines]


def _version_views(db: Session, versions: list[CommentVersion], comment: Comment) -> list[dict[str, Any]]:
    """Newest first, each with who wrote it; the first version has no differences, but its text."""
    texts = [(version.text, version.created_at, version.author_id) for version in versions]
    writer_id = comment.edited_by_id or comment.author_id
    texts.append((comment.text, comment.edited_at or comment.created_at, writer_id))
    writers = {writer for _, _, writer in texts if writer is not None}
    people = {user.id: user for user in db.scalars(select(User).where(User.id.in_(writers))).unique()}
    views = []
    for number, (text, at, writer) in enumerate(texts):
        before = texts[number - 1][0] if number else None
        differences = text_differences(before, text) if before is not None else []
        author = person_of(people.get(writer or 0))
        views.append(
            {"number": number + 1, "at": at, "author": author, "text": text, "differences": differences}
        )
    return views[::-1]
