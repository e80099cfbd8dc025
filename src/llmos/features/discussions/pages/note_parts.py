"""Notes of a review that is not sent yet, as the page of its author shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pygit2
from fastapi import Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import PageForm, redirect_page
from llmos.features.auth.texts import render_text, text_references
from llmos.features.discussions.models import ReviewNote
from llmos.features.discussions.pages.comment_pages import sign_in_first
from llmos.features.discussions.pages.line_parts import current_line, line_part
from llmos.features.discussions.pages.spots import pull_spot
from llmos.features.discussions.pages.thread_parts import LinePart, Spot
from llmos.features.discussions.pull_state import PullState
from llmos.features.discussions.review_notes import drop_notes
from llmos.features.repos.pages.routes import RepoRoutes
from llmos.infra.i18n import Locale, lazy, translator
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import RuntimeDep, WriteDb
from llmos.ui.filters import path_segment, with_query
from llmos.ui.markdown import References
from llmos.ui.views import Badge, CommentView, Person

routes = RepoRoutes()


@dataclass(frozen=True, slots=True)
class NoteItem:
    """`place` is where the difference shows it, `new:24`, or None where its line is gone."""

    view: CommentView
    path: str
    place: str | None
    line: LinePart
    edit_href: str
    drop_action: str


def note_items(
    db: Session,
    git_repo: pygit2.Repository,
    actor: Actor,
    spot: Spot,
    notes: Sequence[ReviewNote],
    state: PullState,
    locale: Locale,
) -> list[NoteItem]:
    """The notes with their texts rendered: one query for the people they name."""
    if not notes:
        return []
    references = text_references(db, [note.text for note in notes], spot.context, {actor.name})
    author = Person(actor.name, f"/{path_segment(actor.name)}", actor.fullname, actor.avatar_url)
    return [_item(db, git_repo, author, spot, note, state, locale, references) for note in notes]


def _item(
    db: Session,
    git_repo: pygit2.Repository,
    author: Person,
    spot: Spot,
    note: ReviewNote,
    state: PullState,
    locale: Locale,
    references: References,
) -> NoteItem:
    _ = translator(locale).gettext
    line = current_line(git_repo, note, state)
    href = f"{spot.href}/files#comment-{note.public_id}"
    view = CommentView(
        id=note.public_id,
        author=author,
        at=note.created_at,
        href=href,
        body=render_text(db, note.text, spot.context, scope=note.public_id, references=references),
        badges=[Badge(_("Not sent yet"), "warning")],
    )
    return NoteItem(
        view,
        note.path,
        f"{note.side}:{line}" if line is not None else None,
        line_part(git_repo, note, spot.href),
        with_query(f"{spot.href}/line", {"note": note.public_id}),
        f"{spot.href}/review/notes/{note.public_id}/drop",
    )


def by_line(
    items: Sequence[NoteItem], shown: set[tuple[str, str]]
) -> Mapping[tuple[str, str], list[NoteItem]]:
    """The notes whose lines the page shows, by path and `side:line`."""
    found: dict[tuple[str, str], list[NoteItem]] = {}
    for item in items:
        if item.place is not None and (item.path, item.place) in shown:
            found.setdefault((item.path, item.place), []).append(item)
    return found


@routes.post("/discussions/{num:int}/review/notes/drop")
def post_drop_all(request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    """Throw the whole review away."""
    return _drop(request, rt, db, actor, None)


@routes.post("/discussions/{num:int}/review/notes/{note:seg}/drop")
def post_drop(request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    return _drop(request, rt, db, actor, str(request.path_params["note"]))


def _drop(request: Request, rt: Runtime, db: Session, actor: Actor, public_id: str | None) -> Response:
    spot = pull_spot(request, rt, db, actor)
    if actor.user_id is None:
        return sign_in_first(request, spot)
    drop_notes(db, actor, spot.thread, public_id)
    message = lazy("Your review is thrown away.") if public_id is None else lazy("The note is thrown away.")
    return redirect_page(request, f"{spot.href}/files", message)
