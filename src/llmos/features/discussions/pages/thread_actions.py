"""What one does to a thread: answer, close, rename, pin, lock, merge; one loses no words by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastapi import Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest, LlmosError, NotFound
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
)
from llmos.features.discussions.comments import add_comment, resolve_comment
from llmos.features.discussions.merging import MergeWish, merge_pull
from llmos.features.discussions.pages.comment_pages import sign_in_first
from llmos.features.discussions.pages.conversation import render_conversation
from llmos.features.discussions.pages.spots import pull_spot, repo_spot
from llmos.features.discussions.pages.thread_parts import Spot
from llmos.features.discussions.policy import access_comment, check_can_manage
from llmos.features.discussions.suggestions import apply_suggestion
from llmos.features.discussions.texts import MAX_TITLE_CHARS
from llmos.features.discussions.threads import (
    lock_thread,
    pin_thread,
    rename_thread,
    set_status,
)
from llmos.features.repos.pages.routes import RepoRoutes
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb

routes = RepoRoutes()
_THEN = {"close": "closed", "open": "open"}


def _again(
    request: Request, rt: Runtime, actor: Actor, refusal: LlmosError, kept: Mapping[str, str]
) -> Response:
    """The page of the thread as it is now, with the reason and what was typed."""
    if isinstance(refusal, NotFound):
        raise refusal
    with rt.database.reading() as db:
        spot = repo_spot(request, rt, db, actor)
        return render_conversation(request, rt, db, actor, spot, refusal=refusal, kept=kept)


@routes.post("/discussions/{num:int}/comment")
def post_comment(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    """Answer; with `then` also close or open the thread, and then the text may be empty."""
    text, then = form.text("text", strip=False), form.text("then")
    if then and then not in _THEN:
        raise BadRequest(lazy("then must be 'close' or 'open'."))
    try:
        with rt.database.writing() as db:
            spot = repo_spot(request, rt, db, actor)
            if actor.user_id is None:
                return sign_in_first(request, spot)
            if then:
                set_status(db, actor, spot.thread, _THEN[then], text)
                href, message = spot.href, _then_message(then, spot)
            else:
                comment = add_comment(db, actor, spot.thread, text)
                href, message = f"{spot.href}#comment-{comment.public_id}", None
    except LlmosError as refusal:
        return _again(request, rt, actor, refusal, {"text": text})
    return redirect_page(request, href, message)


def _then_message(then: str, spot: Spot) -> str:
    if then == "close":
        return lazy("#%(num)s is closed.", num=spot.thread.num)
    return lazy("#%(num)s is open.", num=spot.thread.num)


@routes.post("/discussions/{num:int}/merge")
def post_merge(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, form: PageForm) -> Response:
    spot = repo_spot(request, rt, db, actor)
    if actor.user_id is None:
        return sign_in_first(request, spot)
    thread_id, href = spot.thread.id, spot.href
    db.close()
    kept = {name: form.text(name, strip=False) for name in ("summary", "body")}
    text = form.text("text", strip=False)
    message = f"{kept['summary'].strip()}\n\n{kept['body'].strip()}".strip()
    wish = MergeWish(
        comment=text or None,
        method=form.text("method") or "squash",
        head_oid=form.text("head") or None,
        message=message or None,
    )
    try:
        merge_pull(rt, actor, thread_id, wish)
    except LlmosError as refusal:
        return _again(request, rt, actor, refusal, {**kept, "text": text})
    return redirect_page(request, href, lazy("The pull request is merged."))


@routes.get("/discussions/{num:int}/rename")
def rename_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    spot = repo_spot(request, rt, db, actor)
    if actor.user_id is None:
        return redirect_to_login(request)
    check_can_manage(db, actor, spot.thread)
    return _rename_form(request, actor, spot, spot.thread.title)


@routes.post("/discussions/{num:int}/rename")
def post_rename(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    title = form.text("title")
    try:
        with rt.database.writing() as db:
            spot = repo_spot(request, rt, db, actor)
            if actor.user_id is None:
                return sign_in_first(request, spot)
            rename_thread(db, actor, spot.thread, title)
    except BadRequest as refusal:
        with rt.database.reading() as db:
            return _rename_form(request, actor, repo_spot(request, rt, db, actor), title, refusal)
    return redirect_page(request, spot.href, lazy("The title is changed."))


def _rename_form(
    request: Request, actor: Actor, spot: Spot, title: str, refusal: LlmosError | None = None
) -> Response:
    context = {
        **spot.shell(request_locale(request, actor)),
        "layout": spot.layout,
        "spot": spot,
        "title": title,
        "error": refusal.message if refusal else "",
        "max_title_chars": MAX_TITLE_CHARS,
    }
    status = refusal.status if refusal else 200
    return render_page(request, actor, "discussions/rename.html", context, status=status)


_Change = Callable[[Session, Actor, Spot, bool], str]


def _pin(db: Session, actor: Actor, spot: Spot, is_on: bool) -> str:
    pin_thread(db, actor, spot.thread, is_on)
    return lazy("The thread is pinned.") if is_on else lazy("The thread is no longer pinned.")


def _lock(db: Session, actor: Actor, spot: Spot, is_on: bool) -> str:
    lock_thread(db, actor, spot.thread, is_on)
    return lazy("The thread is locked.") if is_on else lazy("The thread is unlocked.")


def _switch(
    request: Request, rt: Runtime, db: Session, actor: Actor, form: PageForm, change: _Change
) -> Response:
    spot = repo_spot(request, rt, db, actor)
    if actor.user_id is None:
        return sign_in_first(request, spot)
    return redirect_page(request, spot.href, change(db, actor, spot, bool(form.text("on"))))


@routes.post("/discussions/{num:int}/pin")
def post_pin(request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    return _switch(request, rt, db, actor, form, _pin)


@routes.post("/discussions/{num:int}/lock")
def post_lock(request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    return _switch(request, rt, db, actor, form, _lock)


@routes.post("/discussions/{num:int}/comments/{comment:seg}/resolve")
def post_resolve(request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    """Settle a line comment (field `resolved`), or open it again."""
    spot = pull_spot(request, rt, db, actor)
    if actor.user_id is None:
        return sign_in_first(request, spot)
    comment = access_comment(db, actor, spot.thread, str(request.path_params["comment"]), for_update=True)
    resolve_comment(db, actor, spot.thread, comment, bool(form.text("resolved")))
    return redirect_page(request, _back(form.text("back"), spot, comment.public_id))


def _back(page: str, spot: Spot, public_id: str) -> str:
    return f"{spot.href}/files#comment-{public_id}" if page == "files" else spot.permalink(public_id)


@routes.post("/discussions/{num:int}/comments/{comment:seg}/apply")
def post_apply(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, form: PageForm) -> Response:
    """Commit what a comment suggests."""
    spot = pull_spot(request, rt, db, actor)
    if actor.user_id is None:
        return sign_in_first(request, spot)
    comment = access_comment(db, actor, spot.thread, str(request.path_params["comment"]))
    href, comment_id = _back(form.text("back"), spot, comment.public_id), comment.id
    db.close()
    try:
        apply_suggestion(rt, actor, comment_id)
    except LlmosError as refusal:
        return _again(request, rt, actor, refusal, {})
    return redirect_page(request, href, lazy("The suggestion is committed."))
