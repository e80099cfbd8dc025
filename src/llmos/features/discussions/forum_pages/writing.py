"""Writing a topic: the form, topics that are similar, and drafts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy.orm import Session

from llmos.core import clock
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
from llmos.features.discussions.categories import access_category
from llmos.features.discussions.forum_kept import NEW_TOPIC, drop_draft, get_draft, save_draft
from llmos.features.discussions.forum_pages.acting import category_options, split_tags
from llmos.features.discussions.forum_pages.hrefs import topic_href
from llmos.features.discussions.forum_pages.rows import topic_row
from llmos.features.discussions.forum_polls import PollWish
from llmos.features.discussions.forum_similar import list_similar_topics
from llmos.features.discussions.forum_topics import start_topic
from llmos.features.discussions.threads import MAX_TAGS
from llmos.infra.i18n import lazy, localize
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.forms import Form
from llmos.ui.views import Option

POLL_DAYS = (1, 3, 7, 14, 30)
_FIELDS = ("title", "category", "tags", "text", "poll_question", "poll_options", "poll_days")
_SWITCHES = ("is_wiki", "poll_multiple", "poll_hidden")


def new_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """The form, with the draft of it, or with `title`, `category`, `tags` and `text` of the address."""
    if actor.user_id is None:
        return redirect_to_login(request)
    values: dict[str, Any] = dict.fromkeys((*_FIELDS, *_SWITCHES), "")
    draft = get_draft(db, actor, NEW_TOPIC)
    if draft is not None:
        values |= {
            "title": draft.title, "category": draft.category, "tags": draft.tags, "text": draft.text,
        }  # fmt: skip
    for name in ("title", "category", "tags", "text"):
        if given := request.query_params.get(name, "").replace("\0", "")[:2000]:
            values[name] = given
    return _form(request, db, actor, values)


def _form(
    request: Request,
    db: Session,
    actor: Actor,
    values: dict[str, Any],
    refusal: LlmosError | None = None,
) -> Response:
    locale = request_locale(request, actor)
    days = [Option("", localize(lazy("No end"), locale))]
    days += [Option(str(n), localize(lazy("In %(days)s days", days=n), locale)) for n in POLL_DAYS if n > 1]
    days.insert(1, Option("1", localize(lazy("In one day"), locale)))
    context = {
        "values": values,
        "categories": [
            Option("", localize(lazy("Choose one"), locale)),
            *category_options(db, actor, locale),
        ],
        "poll_days": days,
        "has_poll": bool(values["poll_question"] or values["poll_options"]),
        "error": refusal.message if refusal is not None else "",
        "max_tags": MAX_TAGS,
    }
    status = refusal.status if refusal is not None else 200
    return render_page(request, actor, "forum/new.html", context, status=status)


def post_new_page(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    """Open the topic; what is refused comes back with the form as it was."""
    if actor.user_id is None:
        return redirect_page(request, "/login?next=/forum/new")
    values: dict[str, Any] = {name: form.text(name, strip=name != "text") for name in _FIELDS}
    values |= {name: form.text(name) for name in _SWITCHES}
    try:
        with rt.database.writing() as db:
            if not values["category"]:
                raise BadRequest(lazy("Choose a category."))
            category = access_category(db, values["category"])
            thread = start_topic(
                db,
                actor,
                category,
                values["title"],
                values["text"],
                split_tags(values["tags"]),
                poll=_poll_wish(values),
                is_wiki=bool(values["is_wiki"]),
            )
            href = topic_href(thread)
    except LlmosError as refusal:
        with rt.database.reading() as db:
            return _form(request, db, actor, values, refusal)
    return redirect_page(request, href, lazy("Your topic is open."))


def _poll_wish(values: dict[str, Any]) -> PollWish | None:
    options = [line.strip() for line in values["poll_options"].splitlines() if line.strip()]
    if not values["poll_question"] and not options:
        return None
    days = values["poll_days"]
    if days and (not days.isascii() or not days.isdecimal() or not 1 <= int(days[:4]) <= 365):
        raise BadRequest(lazy("A poll closes after 1 to 365 days, or never."))
    return PollWish(
        values["poll_question"],
        options,
        is_multiple=bool(values["poll_multiple"]),
        hides_votes=bool(values["poll_hidden"]),
        closes_at=clock.now() + timedelta(days=int(days)) if days else None,
    )


def similar_part(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """Topics whose titles share words with `title`, as a part of a page."""
    title = request.query_params.get("title", "").replace("\0", "")[:250]
    locale = request_locale(request, actor)
    found = list_similar_topics(db, title) if len(title.strip()) > 2 else []
    rows = [topic_row(thread, locale, {}) for thread in found]
    return render_page(request, actor, "forum/_similar.html", {"rows": rows})


def save_draft_page(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    """Keep unsent text (`place`, `title`, `text`, `category`, `tags`), or with `drop` throw it away.

    A script gets JSON, a form the page of drafts.
    """
    actor.require_user()
    with rt.database.writing() as db:
        if form.has("drop"):
            drop_draft(db, actor, form.text("place"))
            return redirect_page(request, "/forum/drafts", lazy("The draft is thrown away."))
        saved_at = _save(db, actor, form)
    return JSONResponse({"saved_at": clock.to_json(saved_at) if saved_at else None})


def _save(db: Session, actor: Actor, form: Form) -> Any:
    return save_draft(
        db,
        actor,
        form.text("place"),
        title=form.text("title"),
        text=form.text("text", strip=False),
        category=form.text("category"),
        tags=form.text("tags"),
    )
