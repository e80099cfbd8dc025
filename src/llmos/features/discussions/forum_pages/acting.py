"""What people do with a topic: reply, vote, keep, change, close, pin, lock."""

from __future__ import annotations

from collections.abc import Callable
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
    safe_next,
)
from llmos.features.discussions.categories import access_category, list_categories
from llmos.features.discussions.comments import add_comment
from llmos.features.discussions.forum_kept import drop_draft, set_bookmark, topic_place
from llmos.features.discussions.forum_pages.hrefs import category_name, post_href, topic_href
from llmos.features.discussions.forum_pages.posts import TopicSpot
from llmos.features.discussions.forum_pages.topic import access_parts, locate_topic, render_topic
from llmos.features.discussions.forum_polls import close_poll, vote
from llmos.features.discussions.forum_topics import change_topic, set_wiki
from llmos.features.discussions.models import Comment, Thread
from llmos.features.discussions.pages.comment_pages import add_comment_pages, sign_in_first
from llmos.features.discussions.pages.window import read_window
from llmos.features.discussions.policy import access_comment, check_can_manage
from llmos.features.discussions.threads import lock_thread, pin_thread, set_status
from llmos.features.repos.pages.routes import add_page
from llmos.infra.i18n import Locale, lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.forms import Form
from llmos.infra.web.lazy_routes import Router
from llmos.ui.views import Option

ADDRESS = "/forum/{num:int}/{slug:seg}"


def add_topic_actions(router: Router) -> None:
    """Register all below the address of a topic."""

    def add(method: str, suffix: str, endpoint: Callable[..., Any]) -> None:
        add_page(router, ADDRESS + suffix, endpoint, ["GET", "HEAD"] if method == "GET" else [method])

    add_comment_pages(add, locate_topic)
    add("POST", "/reply", post_reply)
    add("POST", "/poll", post_poll)
    add("POST", "/bookmark", post_bookmark)
    add("POST", "/manage", post_manage)
    add("GET", "/edit", edit_page)
    add("POST", "/edit", post_edit)


def post_reply(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    """Write a post (`text`, `reply_to`); with `close`, close the topic. A refused text comes back."""
    text = form.text("text", strip=False)
    try:
        with rt.database.writing() as db:
            spot = locate_topic(request, rt, db, actor)
            if actor.user_id is None:
                return sign_in_first(request, spot)
            comment = _reply(db, actor, spot.thread, text, form)
            href = spot.comment_href(comment)
    except LlmosError as refusal:
        if refusal.status == 404:
            raise
        return _refused_reply(request, rt, actor, form, text, refusal)
    return redirect_page(request, href)


def _reply(db: Session, actor: Actor, thread: Thread, text: str, form: Form) -> Comment:
    parent = form.text("reply_to")
    reply_to = access_comment(db, actor, thread, parent) if parent else None
    comment = add_comment(db, actor, thread, text, reply_to=reply_to)
    drop_draft(db, actor, topic_place(thread.id))
    if form.has("close"):
        set_status(db, actor, thread, "closed")
    return comment


def _refused_reply(
    request: Request, rt: Runtime, actor: Actor, form: Form, text: str, refusal: LlmosError
) -> Response:
    with rt.database.reading() as db:
        parts = access_parts(db, actor, int(request.path_params["num"]))
        window = read_window(db, parts.thread)
        return render_topic(
            request, db, actor, parts, window, refusal=refusal, text=text, reply_to=form.text("reply_to")
        )


def post_poll(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    """Vote (`option`, repeated), or with `close` end the poll."""
    chosen = form.texts("option")
    if not all(value.isascii() and value.isdecimal() and len(value) < 19 for value in chosen):
        raise BadRequest(lazy("Choose one of the answers of this poll."))
    with rt.database.writing() as db:
        spot = locate_topic(request, rt, db, actor)
        if actor.user_id is None:
            return sign_in_first(request, spot)
        if form.has("close"):
            close_poll(db, actor, spot.thread)
            message = lazy("The poll is closed.")
        else:
            vote(db, actor, spot.thread, [int(value) for value in chosen])
            message = lazy("Your vote is counted.") if chosen else lazy("Your vote is taken back.")
    return redirect_page(request, f"{spot.href}#poll", message)


def post_bookmark(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    """Keep the post `comment`, or with an empty `keep` no longer."""
    is_kept = bool(form.text("keep"))
    with rt.database.writing() as db:
        spot = locate_topic(request, rt, db, actor)
        if actor.user_id is None:
            return sign_in_first(request, spot)
        comment = access_comment(db, actor, spot.thread, form.text("comment"))
        set_bookmark(db, actor, comment, is_kept)
    message = lazy("The post is among your bookmarks.") if is_kept else lazy("The bookmark is removed.")
    back = safe_next(form.text("next"), post_href(spot.thread, comment.public_id))
    return redirect_page(request, back, message)


def post_manage(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    """Field `action`: close, open, pin, unpin, lock, unlock, wiki or unwiki."""
    action = form.text("action")
    with rt.database.writing() as db:
        spot = locate_topic(request, rt, db, actor)
        if actor.user_id is None:
            return sign_in_first(request, spot)
        _manage(db, actor, spot, action)
    return redirect_page(request, spot.href, lazy("Done."))


def _manage(db: Session, actor: Actor, spot: TopicSpot, action: str) -> None:
    thread = spot.thread
    if action in ("close", "open"):
        set_status(db, actor, thread, "closed" if action == "close" else "open")
    elif action in ("pin", "unpin"):
        pin_thread(db, actor, thread, action == "pin")
    elif action in ("lock", "unlock"):
        lock_thread(db, actor, thread, action == "lock")
    elif action in ("wiki", "unwiki"):
        set_wiki(db, actor, thread, action == "wiki")
    else:
        raise BadRequest(lazy("action must be close, open, pin, unpin, lock, unlock, wiki or unwiki."))


def edit_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, num: int) -> Response:
    """Title, category and tags."""
    if actor.user_id is None:
        return redirect_to_login(request)
    parts = access_parts(db, actor, num)
    check_can_manage(db, actor, parts.thread)
    thread = parts.thread
    category = thread.category.slug if thread.category is not None else ""
    values = {"title": thread.title, "category": category, "tags": " ".join(parts.tags)}
    return _edit_form(request, db, actor, thread, values)


def _edit_form(
    request: Request,
    db: Session,
    actor: Actor,
    thread: Thread,
    values: dict[str, str],
    refusal: LlmosError | None = None,
) -> Response:
    locale = request_locale(request, actor)
    context = {
        "href": topic_href(thread),
        "values": values,
        "categories": category_options(db, actor, locale, keep=thread.category_id),
        "error": refusal.message if refusal is not None else "",
    }
    status = refusal.status if refusal is not None else 200
    return render_page(request, actor, "forum/edit.html", context, status=status)


def category_options(db: Session, actor: Actor, locale: Locale, keep: int | None = None) -> list[Option]:
    """The categories a topic may be put into; announcements only for administrators."""
    return [
        Option(category.slug, category_name(category, locale))
        for category in list_categories(db, with_archived=keep is not None)
        if category.id == keep
        or (not category.is_archived and (category.format != "announcement" or actor.is_admin))
    ]


def post_edit(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    values = {name: form.text(name) for name in ("title", "category", "tags")}
    try:
        with rt.database.writing() as db:
            spot = locate_topic(request, rt, db, actor)
            if actor.user_id is None:
                return sign_in_first(request, spot)
            category = access_category(db, values["category"])
            tags = split_tags(values["tags"])
            thread = change_topic(db, actor, spot.thread, title=values["title"], category=category, tags=tags)
            href = topic_href(thread)
    except LlmosError as refusal:
        with rt.database.reading() as db:
            thread = locate_topic(request, rt, db, actor).thread
            return _edit_form(request, db, actor, thread, values, refusal)
    return redirect_page(request, href, lazy("The topic is saved."))


def split_tags(text: str) -> list[str]:
    """Tags as people write them: with spaces, commas of either language, or `#`."""
    for mark in ",，、;；#":
        text = text.replace(mark, " ")
    return text.split()
