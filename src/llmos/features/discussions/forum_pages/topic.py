"""The page of a topic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import String, and_, cast, func, null, select
from sqlalchemy.orm import Session, joinedload

from llmos.core.errors import Forbidden, LlmosError
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import render_page, request_locale
from llmos.features.auth.texts import render_text
from llmos.features.discussions.forum_kept import topic_place
from llmos.features.discussions.forum_models import Bookmark, Draft, Poll, PollVote
from llmos.features.discussions.forum_pages.hrefs import post_href, tag_href, topic_href
from llmos.features.discussions.forum_pages.posts import TopicSpot, dress, view_poll
from llmos.features.discussions.forum_pages.rows import view_category
from llmos.features.discussions.forum_trust import badges_of
from llmos.features.discussions.forum_views import count_view
from llmos.features.discussions.models import OPEN, TOPIC, Comment, Thread, ThreadTag
from llmos.features.discussions.pages.spots import tell_opened
from llmos.features.discussions.pages.thread_parts import (
    CommentItem,
    Item,
    Reading,
    emojis,
    has_maths,
    person_of,
    start_reading,
    thread_items,
)
from llmos.features.discussions.pages.window import Window, read_window
from llmos.features.discussions.policy import can_see, check_can_comment, thread_not_found
from llmos.infra.i18n import Locale
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.ui.views import Poll as PollView


@dataclass(frozen=True, slots=True)
class TopicParts:
    """A topic and what hangs on it alone: read in one query."""

    thread: Thread
    tags: tuple[str, ...]
    poll: Poll | None
    votes: frozenset[int]  # the options of the poll the actor chose
    draft: Draft | None


def access_parts(db: Session, actor: Actor, num: int) -> TopicParts:
    """The topic with this number. NotFound where there is none the actor may see."""
    tags = select(func.aggregate_strings(ThreadTag.tag, " ")).where(ThreadTag.thread_id == Thread.id)
    chosen = select(func.aggregate_strings(cast(PollVote.option_id, String), " "))
    chosen = chosen.where(PollVote.thread_id == Thread.id, PollVote.user_id == (actor.user_id or null()))
    statement = (
        select(Thread, tags.scalar_subquery(), Poll, chosen.scalar_subquery(), Draft)
        .outerjoin(Poll, Poll.thread_id == Thread.id)
        .outerjoin(Draft, and_(Draft.user_id == (actor.user_id or null()), Draft.place == topic_place(num)))
        .where(Thread.id == num, Thread.kind == TOPIC)
        .options(joinedload(Thread.category))
    )
    row = db.execute(statement).unique().one_or_none() if 0 < num < 2**31 else None
    if row is None or not can_see(db, actor, row[0]):
        raise thread_not_found(num)
    votes = frozenset(int(option) for option in (row[3] or "").split())
    return TopicParts(row[0], tuple(sorted((row[1] or "").split())), row[2], votes, row[4])


def topic_page(
    request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, num: int, slug: str = ""
) -> Response:
    parts = access_parts(db, actor, num)
    thread = parts.thread
    href = topic_href(thread)
    if request.scope["path"] != href:
        query = request.scope.get("query_string", b"").decode("latin-1")
        return RedirectResponse(f"{href}?{query}" if query else href, 302)
    tell_opened(rt, db, actor, thread)
    after, until = (_number(request, name) for name in ("after", "until"))
    if not (after or until):
        count_view(rt, thread.id)
    return render_topic(request, db, actor, parts, read_window(db, thread, after=after, until=until))


def render_topic(
    request: Request,
    db: Session,
    actor: Actor,
    parts: TopicParts,
    window: Window,
    *,
    refusal: LlmosError | None = None,
    text: str = "",
    reply_to: str = "",
) -> Response:
    """The page; after a refusal with its reason and the text that was sent."""
    context = _context(db, actor, parts, window, request_locale(request, actor))
    context["reply_to"] = _reply_to(context["items"], reply_to or request.query_params.get("reply", ""))
    context["error"] = refusal.message if refusal is not None else ""
    if refusal is not None:
        context["draft"] = text
    status = refusal.status if refusal is not None else 200
    return render_page(request, actor, "forum/topic.html", context, status=status)


def _reply_to(items: Sequence[Item], public_id: str) -> dict[str, str] | None:
    """The post of this page that is being answered."""
    for item in items:
        if isinstance(item, CommentItem) and item.view.id == public_id and not item.view.is_hidden:
            return {"id": public_id, "name": item.view.author.name if item.view.author else "-"}
    return None


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0


def _context(db: Session, actor: Actor, parts: TopicParts, window: Window, locale: Locale) -> dict[str, Any]:
    thread = parts.thread
    spot = TopicSpot(thread, topic_href(thread))
    answer = _answer(db, thread, window)
    shown = [*window.comments, *([answer] if answer is not None and answer not in window.comments else [])]
    reading = start_reading(db, actor, spot, shown)
    kept = _bookmarked(db, actor, shown)
    badges = badges_of(db, [comment.author_id for comment in window.comments])
    comments = {comment.public_id: comment for comment in window.comments}
    parents = _parents(db, window.comments)
    items: list[Item] = [
        dress(item, spot, comments[item.view.id], badges, parents, locale, may_reply=reading.may_write)
        if isinstance(item, CommentItem)
        else item
        for item in thread_items(db, reading, spot, window, locale)
    ]
    is_author = actor.user_id is not None and thread.author_id == actor.user_id
    return {
        "topic": thread,
        "href": spot.href,
        "category": view_category(thread.category, locale) if thread.category is not None else None,
        "tags": [{"label": tag, "href": tag_href(tag)} for tag in parts.tags],
        "author": person_of(thread.author),
        "items": items,
        "has_maths": has_maths(items),
        "emojis": emojis(reading),
        "bookmarked": {comment.public_id for comment in shown if comment.id in kept},
        "answer": _answer_view(db, reading, answer, thread) if answer not in window.comments[:2] else None,
        "poll": _poll(parts, spot, may_vote=reading.may_write),
        "draft": parts.draft.text if parts.draft is not None else "",
        "draft_place": topic_place(thread.id),
        "is_open": thread.status == OPEN,
        "may_reply": reading.may_write,
        "may_manage": reading.is_keeper or (is_author and not thread.is_locked),
        "is_keeper": reading.is_keeper,
        "is_question": thread.category is not None and thread.category.format == "question",
        "feed_href": f"/-/feeds/topics/{thread.id}.atom",
        "is_part": not window.is_from_start,
        "why_not": _why_not(db, actor, thread) if actor.is_suspended or actor.token_role else "",
    }


def _why_not(db: Session, actor: Actor, thread: Thread) -> str:
    """Why a signed-in reader may not answer; empty where they may."""
    try:
        check_can_comment(db, actor, thread)
    except Forbidden as refusal:
        return refusal.message
    return ""


def _answer(db: Session, thread: Thread, window: Window) -> Comment | None:
    """The accepted answer, from the page or, if it stands elsewhere, by a query."""
    if thread.answer_id is None:
        return None
    for comment in window.comments:
        if comment.id == thread.answer_id:
            return comment if not comment.is_hidden else None
    found = db.get(Comment, thread.answer_id)
    return found if found is not None and not found.is_hidden else None


def _answer_view(
    db: Session, reading: Reading, answer: Comment | None, thread: Thread
) -> dict[str, Any] | None:
    if answer is None:
        return None
    scope = f"top-{answer.public_id}"
    return {
        "author": person_of(answer.author),
        "href": post_href(thread, answer.public_id),
        "body": render_text(db, answer.text, scope=scope, references=reading.references),
        "at": answer.created_at,
    }


def _bookmarked(db: Session, actor: Actor, comments: list[Comment]) -> set[int]:
    if actor.user_id is None:
        return set()
    ids = [comment.id for comment in comments]
    mine = (Bookmark.user_id == actor.user_id, Bookmark.comment_id.in_(ids))
    return set(db.scalars(select(Bookmark.comment_id).where(*mine)))


def _parents(db: Session, comments: list[Comment]) -> dict[int, Comment]:
    """The posts that others answer; one query for those that stand elsewhere."""
    found = {comment.id: comment for comment in comments}
    missing = {comment.reply_to_id for comment in comments if comment.reply_to_id} - found.keys()
    if missing:
        rows = db.scalars(select(Comment).where(Comment.id.in_(missing))).unique()
        found.update((comment.id, comment) for comment in rows)
    return found


def _poll(parts: TopicParts, spot: TopicSpot, *, may_vote: bool) -> PollView | None:
    if parts.poll is None:
        return None
    return view_poll(parts.poll, parts.thread, parts.votes, spot.href, may_vote=may_vote)


def locate_topic(request: Request, _rt: Runtime, db: Session, actor: Actor) -> TopicSpot:
    """The topic of an address below it, whatever its words say."""
    thread = access_parts(db, actor, int(request.path_params["num"])).thread
    return TopicSpot(thread, topic_href(thread))
