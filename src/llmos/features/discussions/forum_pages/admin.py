"""The categories of the forum, for administrators."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest, LlmosError
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.policy import check_is_admin
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
)
from llmos.features.discussions.categories import access_category, list_categories
from llmos.features.discussions.forum_categories import (
    ICONS,
    CategoryWish,
    change_category,
    create_category,
    move_category,
)
from llmos.features.discussions.forum_lists import count_topics
from llmos.features.discussions.forum_pages.hrefs import category_name
from llmos.infra.i18n import lazy, localize
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.forms import Form
from llmos.ui.views import Option

ADDRESS = "/-/admin/categories"
_FORMATS = {
    "open": lazy("Talk: anybody opens topics"),
    "question": lazy("Questions: an answer can be accepted"),
    "announcement": lazy("Announcements: only the team opens topics"),
    "paper": lazy("Papers: talk about texts"),
}
_FIELDS = ("name_en", "name_zh", "description_en", "description_zh", "format", "icon")


def categories_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    if actor.is_anonymous:
        return redirect_to_login(request)
    check_is_admin(actor)
    return _page(request, db, actor)


def _page(
    request: Request,
    db: Session,
    actor: Actor,
    values: dict[str, str] | None = None,
    refusal: LlmosError | None = None,
) -> Response:
    locale = request_locale(request, actor)
    counts = count_topics(db)
    context: dict[str, Any] = {
        "categories": [
            {"row": row, "name": category_name(row, locale), "count": counts.get(row.id, 0)}
            for row in list_categories(db, with_archived=True)
        ],
        "formats": [Option(key, localize(label, locale)) for key, label in _FORMATS.items()],
        "icons": ICONS,
        "values": values or dict.fromkeys(("slug", *_FIELDS), ""),
        "error": refusal.message if refusal is not None else "",
    }
    status = refusal.status if refusal is not None else 200
    return render_page(request, actor, "forum/admin.html", context, status=status)


def post_categories_page(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    """Field `action`: create, save, up or down; `slug` names the category."""
    check_is_admin(actor)
    try:
        with rt.database.writing() as db:
            _change(db, actor, form)
    except LlmosError as refusal:
        values = {name: form.text(name) for name in ("slug", *_FIELDS)}
        with rt.database.reading() as db:
            return _page(request, db, actor, values if form.text("action") == "create" else None, refusal)
    return redirect_page(request, ADDRESS, lazy("The categories are saved."))


def _change(db: Session, actor: Actor, form: Form) -> None:
    action, slug = form.text("action"), form.text("slug")
    if action == "create":
        create_category(db, actor, slug, _wish(form))
    elif action == "save":
        category = access_category(db, slug)
        change_category(db, actor, category, _wish(form), is_archived=form.has("is_archived"))
    elif action in ("up", "down"):
        move_category(db, actor, access_category(db, slug), -1 if action == "up" else 1)
    else:
        raise BadRequest(lazy("action must be create, save, up or down."))


def _wish(form: Form) -> CategoryWish:
    fields = {name: form.text(name) for name in _FIELDS}
    return CategoryWish(**{name: value for name, value in fields.items() if value or name[:4] == "name"})
