"""`/moderation/log`: what was done, by whom and why, each with its undoing."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from llmos.core.errors import BadRequest, Conflict, Forbidden
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
    safe_next,
)
from llmos.features.moderation import measures, queries
from llmos.features.moderation.pages.common import LOG, measure_rows, tabs
from llmos.features.moderation.scope import access_scope
from llmos.features.moderation.wording import VERBS
from llmos.infra.i18n import lazy, localize, translator
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.lazy_routes import Router
from llmos.ui.filters import with_query
from llmos.ui.views import Option

router = Router(include_in_schema=False)


@router.get(LOG)
def get_log(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """`verb`, `person` (against or by them), `state` (undone or standing), `repo`, `cursor`."""
    if actor.is_anonymous:
        return redirect_to_login(request)
    params = request.query_params
    scope = access_scope(db, actor, params.get("repo", ""))
    verb = params.get("verb", "") if params.get("verb") in VERBS else ""
    state = params.get("state", "") if params.get("state") in ("undone", "standing") else ""
    person = params.get("person", "").strip().removeprefix("@")[:96]
    page = queries.list_measures(
        db, scope, verb=verb, person=person, state=state, cursor=params.get("cursor")
    )
    locale = request_locale(request, actor)
    _ = translator(locale).gettext
    wish = {"verb": verb, "person": person, "state": state, "repo": scope.key}
    context = {
        "tabs": tabs(scope, "log", locale),
        "scope": scope,
        "measures": measure_rows(db, page.items),
        "verbs": [Option("", _("All measures"))]
        + [Option(key, localize(words.label, locale)) for key, words in VERBS.items()],
        "states": [
            Option("", _("Undone or not")),
            Option("standing", _("In force")),
            Option("undone", _("Undone")),
        ],
        "wish": wish,
        "is_filtered": bool(verb or person or state),
        "here": with_query(LOG, wish),
        "next_href": with_query(LOG, wish | {"cursor": page.next_cursor}) if page.next_cursor else None,
    }
    return render_page(request, actor, "moderation/log.html", context)


@router.post(LOG)
def post_undo(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    """Undo the measure with the number `id`."""
    if actor.is_anonymous:
        return redirect_to_login(request)
    back = safe_next(form.text("next"), LOG)
    number = form.text("id")
    if not number.isascii() or not number.isdecimal() or len(number) > 9:
        raise BadRequest(lazy("%(field)s must be a whole number.", field="id"))
    try:
        with rt.database.writing() as db:
            measures.undo(db, actor, measures.access_measure(db, actor, int(number)))
    except (Conflict, Forbidden, BadRequest) as error:
        return redirect_page(request, back, error.message, "danger")
    return redirect_page(request, back, lazy("Undone."))
