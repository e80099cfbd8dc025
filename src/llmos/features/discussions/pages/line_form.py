"""Writing about lines of a pull request: the form, its answer, and answers to answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest, LlmosError
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
)
from llmos.features.discussions.comments import LinePlace, add_comment
from llmos.features.discussions.models import Comment, ReviewNote
from llmos.features.discussions.pages.comment_pages import sign_in_first
from llmos.features.discussions.pages.line_parts import read_lines
from llmos.features.discussions.pages.spots import pull_spot, repo_of, thread_head
from llmos.features.discussions.pages.thread_parts import LinePart, Spot
from llmos.features.discussions.policy import access_comment, check_can_comment
from llmos.features.discussions.pull_state import PullState, read_pull_state
from llmos.features.discussions.review_notes import access_note, change_note, keep_note, list_notes
from llmos.features.repos.pages.routes import RepoRoutes
from llmos.features.repos.places import open_git
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.ui.filters import with_query

routes = RepoRoutes()
MAX_LINES = 200


@dataclass(frozen=True, slots=True)
class Wish:
    """Which lines are meant; `reply` is the public id of a comment to answer, `note` of an unsent note
    to change, or empty."""

    path: str
    side: str
    line: int
    start_line: int
    reply: str = ""
    oid: str = ""
    note: str = ""


def _wish(values: Any) -> Wish:
    """The lines that a query or form names; BadRequest for what names none."""
    path, side = str(values.get("path") or "")[:4096], str(values.get("side") or "new")
    line = _number(values.get("line"), "line")
    start_line = _number(values.get("start_line") or str(line), "start_line")
    if not path or side not in ("old", "new") or "\0" in path:
        raise BadRequest(lazy("Name the file in path, and the side: old or new."))
    if not 0 <= line - start_line < MAX_LINES:
        raise BadRequest(lazy("start_line must be at most %(limit)s lines above line.", limit=MAX_LINES - 1))
    reply, note = (str(values.get(name) or "")[:24] for name in ("reply", "note"))
    return Wish(path, side, line, start_line, reply, str(values.get("oid") or ""), note)


def _number(text: object, name: str) -> int:
    if not isinstance(text, str) or not text.isdecimal() or len(text) > 9 or int(text) < 1:
        raise BadRequest(lazy("%(name)s must be the number of a line, from 1.", name=name))
    return int(text)


@routes.get("/discussions/{num:int}/line")
def line_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    """`?path=config.json&side=new&line=4`, `&suggest=1` to offer other lines, `&reply=<comment>`;
    `?note=<note>` changes what was written for a review.

    htmx gets the form alone, to stand below the line.
    """
    spot = pull_spot(request, rt, db, actor)
    if actor.user_id is None:
        return redirect_to_login(request)
    check_can_comment(db, actor, spot.thread)
    if public_id := request.query_params.get("note"):
        note = access_note(db, actor, spot.thread, public_id)
        return _form(request, rt, db, actor, spot, _place_of_note(db, note), text=note.text)
    reply = _reply_of(db, actor, spot, request.query_params.get("reply", ""))
    wish = _wish(request.query_params) if reply is None else _place_of(reply)
    return _form(request, rt, db, actor, spot, wish, is_suggestion=bool(request.query_params.get("suggest")))


def _reply_of(db: Session, actor: Actor, spot: Spot, public_id: str) -> Comment | None:
    return access_comment(db, actor, spot.thread, public_id) if public_id else None


def _place_of(comment: Comment) -> Wish:
    """The lines of the comment to answer, as it named them."""
    if comment.path is None or comment.line is None:
        raise BadRequest(lazy("This comment does not speak of a line."))
    first = comment.start_line or comment.line
    return Wish(
        comment.path, comment.side or "new", comment.line, first, comment.public_id, comment.oid or ""
    )


def _place_of_note(db: Session, note: ReviewNote) -> Wish:
    reply = db.get(Comment, note.reply_to_id) if note.reply_to_id else None
    first = note.start_line or note.line
    reply_id = reply.public_id if reply else ""
    return Wish(note.path, note.side, note.line, first, reply_id, note.oid, note.public_id)


def _form(
    request: Request,
    rt: Runtime,
    db: Session,
    actor: Actor,
    spot: Spot,
    wish: Wish,
    *,
    is_suggestion: bool = False,
    text: str = "",
    refusal: LlmosError | None = None,
) -> Response:
    repo = repo_of(spot)
    state = read_pull_state(rt, repo, spot.thread)
    oid = wish.oid or _oid_of(state, wish.side)
    lines = read_lines(open_git(rt, repo), oid, wish.path)
    chosen = list(enumerate(lines[wish.start_line - 1 : wish.line], wish.start_line))
    if is_suggestion and not text:
        text = "```suggestion\n" + "".join(f"{line}\n" for _, line in chosen) + "```\n"
    is_part = request.headers.get("hx-request") == "true" and refusal is None
    here = {"path": wish.path, "side": wish.side, "line": wish.line, "start_line": wish.start_line}
    context: dict[str, Any] = {
        "href": spot.href,
        "context": spot.context,
        "wish": wish,
        "oid": oid,
        "text": text,
        "error": refusal.message if refusal else "",
        "can_suggest": wish.side == "new" and not wish.reply and not is_suggestion and bool(chosen),
        "suggest_href": with_query(f"{spot.href}/line", {**here, "suggest": 1}),
        "is_part": is_part,
        "is_first_note": not list_notes(db, actor, spot.thread),
        "place": LinePart(
            wish.path, wish.start_line, wish.line, wish.side, False, chosen, f"{spot.href}/files"
        ),
    }
    if not is_part:
        locale = request_locale(request, actor)
        context |= {**spot.shell(locale), "head": thread_head(db, actor, spot, locale, "files")}
    template = "discussions/_line_form.html" if is_part else "discussions/line.html"
    return render_page(request, actor, template, context, status=refusal.status if refusal else 200)


def _oid_of(state: PullState, side: str) -> str:
    oid = state.fork_oid if side == "old" else state.head_oid
    if oid is None:
        raise BadRequest(lazy("The commits of this pull request are gone."))
    return oid


@routes.post("/discussions/{num:int}/line")
def post_line(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    text = form.text("text", strip=False)
    names = ("path", "side", "line", "start_line", "reply", "oid", "note")
    wish = _wish({name: form.text(name) for name in names})
    with rt.database.reading() as db:
        spot = pull_spot(request, rt, db, actor)
        if actor.user_id is None:
            return sign_in_first(request, spot)
        place = _checked_place(rt, spot, wish)
    try:
        with rt.database.writing() as db:
            spot = pull_spot(request, rt, db, actor)
            public_id = _write(db, actor, spot, wish, text, place, is_note=form.text("as") == "note")
            href = f"{spot.href}/files#comment-{public_id}"
    except LlmosError as refusal:
        with rt.database.reading() as db:
            spot = pull_spot(request, rt, db, actor)
            return _form(request, rt, db, actor, spot, wish, text=text, refusal=refusal)
    return redirect_page(request, href)


def _write(
    db: Session, actor: Actor, spot: Spot, wish: Wish, text: str, place: LinePlace, *, is_note: bool
) -> str:
    """Post the comment, or keep it for the review; its public id."""
    if wish.note:
        return change_note(db, actor, spot.thread, wish.note, text).public_id
    reply = _reply_of(db, actor, spot, wish.reply)
    if is_note:
        return keep_note(db, actor, spot.thread, text, place, reply).public_id
    return add_comment(db, actor, spot.thread, text, reply_to=reply, place=place).public_id


def _checked_place(rt: Runtime, spot: Spot, wish: Wish) -> LinePlace:
    """The lines as they are stored; BadRequest where the file has no such line at that commit.

    The commit is the one the writer saw, if the pull request still holds it.
    """
    repo = repo_of(spot)
    git_repo = open_git(rt, repo)
    state = read_pull_state(rt, repo, spot.thread)
    is_known = len(wish.oid) == 40 and read_lines(git_repo, wish.oid, wish.path)
    oid = wish.oid if is_known else _oid_of(state, wish.side)
    if wish.line > len(read_lines(git_repo, oid, wish.path)):
        raise BadRequest(lazy("%(path)r has no line %(line)s here.", path=wish.path[:200], line=wish.line))
    start_line = wish.start_line if wish.start_line < wish.line else None
    return LinePlace(wish.path, wish.side, wish.line, oid, start_line)
