"""`/-/admin/moderators`: who keeps order on the site, and whose trust level is set by hand."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from llmos.core.errors import BadRequest
from llmos.features.accounts.policy import access_user, check_is_admin
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
)
from llmos.features.moderation import queries
from llmos.features.moderation.standing import NAMES, set_standing
from llmos.infra.i18n import lazy, localize, translator
from llmos.infra.web.deps import ReadDb, WriteDb
from llmos.infra.web.lazy_routes import Router
from llmos.ui.views import Option

router = Router(include_in_schema=False)
MODERATORS = "/-/admin/moderators"


@router.get(MODERATORS)
def get_moderators(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    if actor.is_anonymous:
        return redirect_to_login(request)
    check_is_admin(actor)
    locale = request_locale(request, actor)
    earned = Option("", translator(locale).gettext("As earned"))
    levels = [Option(str(at), f"{at} · {localize(name, locale)}") for at, name in enumerate(NAMES)]
    context = {"rows": queries.list_named(db), "levels": [earned, *levels], "names": NAMES}
    return render_page(request, actor, "moderation/moderators.html", context)


@router.post(MODERATORS)
def post_moderators(request: Request, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    """Fields: `name`, `level` (empty: as earned), `moderates`."""
    check_is_admin(actor)
    user = access_user(db, actor, form.text("name").removeprefix("@"))
    level = form.text("level")
    if level and not (level.isascii() and level.isdecimal() and len(level) < 3):
        raise BadRequest(lazy("level must be 0 to 4, or empty for the level that was earned."))
    set_standing(db, actor, user, level=int(level) if level else None, moderates=form.has("moderates"))
    return redirect_page(request, MODERATORS, lazy("Saved."))
