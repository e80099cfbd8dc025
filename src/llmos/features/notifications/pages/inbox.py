"""`/notifications`: what happened, read and unread, and the stream of what happens now."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.responses import Response

from llmos.core.errors import BadRequest
from llmos.features.auth.edge import ActorDep, resolve_actor
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
    safe_next,
)
from llmos.features.discussions.hrefs import repo_href
from llmos.features.notifications import queries, service
from llmos.features.notifications.live import EventStream, LiveNews, event
from llmos.features.notifications.models import Notification
from llmos.features.notifications.reasons import LABELS
from llmos.features.notifications.wording import icon_of, sentence, title_of
from llmos.infra.i18n import Locale, lazy
from llmos.infra.web.deps import ReadDb, RuntimeDep, get_runtime, run_read
from llmos.infra.web.lazy_routes import Router
from llmos.ui.filters import with_query

router = Router(include_in_schema=False)
INBOX = "/notifications"


def _line(row: Notification, locale: Locale) -> dict[str, Any]:
    return {
        "id": row.id,
        "text": sentence(row, locale),
        "title": title_of(row),
        "note": str(row.data.get("text", "")),
        "icon": icon_of(row),
        "actor": row.actor.name if row.actor else None,
        "place": row.repo.repo_name if row.repo else None,
        "reason": LABELS[row.reason][0] if row.reason in LABELS else "",
        "is_read": row.read_at is not None,
        "created_at": row.created_at,
    }


def _number(text: str | None, field: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise BadRequest(lazy("%(field)s must be a whole number.", field=field))
    return int(text)


@router.get(INBOX)
def get_inbox(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """The inbox; `show` is unread (default) or all, `repo` the id of a repository, `cursor` a page."""
    if actor.is_anonymous:
        return redirect_to_login(request)
    params = request.query_params
    show = "all" if params.get("show") == "all" else "unread"
    repo_id = _number(params.get("repo"), "repo")
    page = queries.list_notifications(
        db, actor, only_unread=show == "unread", repo_id=repo_id, cursor=params.get("cursor")
    )
    locale = request_locale(request, actor)
    wish = {"show": "all" if show == "all" else None, "repo": repo_id}
    context = {
        "show": show,
        "lines": [_line(row, locale) for row in page.items],
        "newest_id": page.items[0].id if page.items else 0,
        "repos": [
            {
                "name": item.repo.repo_name,
                "unread": item.unread,
                "href": with_query(INBOX, {"repo": item.repo.id, "show": wish["show"]}),
                "page_href": repo_href(item.repo),
                "is_current": item.repo.id == repo_id,
            }
            for item in queries.list_repo_counts(db, actor)
        ],
        "repo_id": repo_id,
        "unread_href": with_query(INBOX, {"repo": repo_id}),
        "all_href": with_query(INBOX, {"show": "all", "repo": repo_id}),
        "clear_href": with_query(INBOX, {"show": wish["show"]}),
        "here": with_query(INBOX, wish),
        "next_href": with_query(INBOX, wish | {"cursor": page.next_cursor}) if page.next_cursor else None,
    }
    return render_page(request, actor, "notifications/inbox.html", context)


@router.get(INBOX + "/{notification_id:int}")
def open_notification(request: Request, rt: RuntimeDep, actor: ActorDep, notification_id: int) -> Response:
    """Mark one as read and go where it happened."""
    if actor.is_anonymous:
        return redirect_to_login(request)
    with rt.database.writing() as db:
        row = db.get(Notification, notification_id) if notification_id < 2**62 else None
        if row is None or row.user_id != actor.user_id:
            return redirect_page(request, INBOX)
        service.mark_read(db, actor, [row.id])
    _tell_pages(request, row.user_id)
    return redirect_page(request, safe_next(row.href, INBOX))


@router.post(INBOX)
def post_inbox(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    """Mark as read: the one named `id`, or everything up to the newest one shown (`all`)."""
    user_id = actor.require_user()
    chosen = _number(form.text("id"), "id")
    message = None
    with rt.database.writing() as db:
        if chosen is not None:
            service.mark_read(db, actor, [chosen])
        elif form.has("all"):
            service.mark_all_read(db, actor, up_to_id=_number(form.text("up_to"), "up_to"))
            message = lazy("Everything is marked as read.")
    _tell_pages(request, user_id)
    return redirect_page(request, safe_next(form.text("next"), INBOX), message)


def _tell_pages(request: Request, user_id: int) -> None:
    live: LiveNews | None = getattr(request.app.state, "live_news", None)
    if live is not None:
        live.changed(user_id)


@router.get(INBOX + "/live")
async def get_live(request: Request) -> Response:
    """Server-sent events: `unread` {unread} at once and after reading, `news` {text, title, href, unread}.

    204, which ends the browser's asking, for visitors and beyond the number of open pages.
    """
    rt = get_runtime(request)
    actor = await resolve_actor(rt, request)
    live: LiveNews | None = getattr(request.app.state, "live_news", None)
    if actor.user_id is None or live is None:
        return Response(status_code=204)
    user_id = actor.user_id
    listener = live.join(user_id, request_locale(request, actor))
    if listener is None:
        return Response(status_code=204)
    unread = await run_read(rt, lambda db: queries.count_unread(db, user_id))
    return EventStream(live, listener, event("unread", {"unread": unread}))
