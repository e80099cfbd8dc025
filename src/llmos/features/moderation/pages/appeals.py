"""`/moderation/appeals`: second looks."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core.errors import BadRequest, Conflict, Forbidden, LlmosError
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
)
from llmos.features.moderation import queries
from llmos.features.moderation.appeals import answer_appeal
from llmos.features.moderation.pages.common import APPEALS, measure_row, person_of, tabs
from llmos.features.moderation.power import check_moderator
from llmos.features.moderation.scope import Scope
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.lazy_routes import Router
from llmos.ui.filters import with_query

router = Router(include_in_schema=False)


@router.get(APPEALS)
def get_appeals(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """`state` open (default) or answered; `cursor`."""
    if actor.is_anonymous:
        return redirect_to_login(request)
    check_moderator(db, actor)
    return _page(request, db, actor)


def _page(
    request: Request,
    db: Session,
    actor: Actor,
    *,
    failed_id: int = 0,
    typed: str = "",
    error: LlmosError | None = None,
) -> Response:
    params = request.query_params
    is_open = params.get("state") != "answered"
    page = queries.list_appeals(db, is_open=is_open, cursor=params.get("cursor"))
    labels = queries.label_subjects(db, [appeal.measure for appeal in page.items])
    wish = {"state": None if is_open else "answered"}
    rows: list[dict[str, Any]] = [
        {
            "id": appeal.id,
            "person": person_of(appeal.user),
            "text": appeal.text,
            "at": appeal.created_at,
            "state": appeal.state,
            "answer": appeal.answer,
            "answered_at": appeal.answered_at,
            "is_mine": appeal.measure.actor_id == actor.user_id,
            "measure": measure_row(appeal.measure, labels),
            "typed": typed if appeal.id == failed_id else "",
            "error": error.message if error is not None and appeal.id == failed_id else "",
        }
        for appeal in page.items
    ]
    context = {
        "tabs": tabs(Scope(True), "appeals", request_locale(request, actor)),
        "is_open": is_open,
        "rows": rows,
        # The appeal may be answered, and so not in the list any more.
        "error": error.message if error is not None and not any(row["error"] for row in rows) else "",
        "next_href": with_query(APPEALS, wish | {"cursor": page.next_cursor}) if page.next_cursor else None,
    }
    status = error.status if error is not None else 200
    return render_page(request, actor, "moderation/appeals.html", context, status=status)


@router.post(APPEALS + "/{appeal_id:int}")
def post_appeal(
    request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm, appeal_id: int
) -> Response:
    """Fields: `outcome` upheld or rejected, `answer`. A refusal shows the page with what was typed."""
    if actor.is_anonymous:
        return redirect_to_login(request)
    answer = form.text("answer")
    try:
        with rt.database.writing() as db:
            answer_appeal(db, actor, appeal_id, form.text("outcome"), answer)
    except (BadRequest, Conflict, Forbidden) as error:
        with rt.database.reading() as db:
            check_moderator(db, actor)
            return _page(request, db, actor, failed_id=appeal_id, typed=answer, error=error)
    return redirect_page(request, APPEALS, lazy("The appeal is answered."))
