"""The page where a person lets a program sign in by its code."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.responses import Response

from llmos.core.errors import LlmosError
from llmos.features.accounts.actor import Actor
from llmos.features.auth import device
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import PageForm, redirect_page, redirect_to_login, render_page
from llmos.features.auth.pages.common import field_errors
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb, WriteDb
from llmos.infra.web.lazy_routes import Router

router = Router(include_in_schema=False)


def _page(request: Request, actor: Actor, status: int = 200, **context: Any) -> Response:
    values = {"user_code": "", "grant": None, "client": "", "errors": {}, **context}
    return render_page(request, actor, "auth/device.html", values, status=status)


@router.get("/device")
def get_device(request: Request, db: ReadDb, actor: ActorDep, user_code: str = "") -> Response:
    if actor.is_anonymous:
        return redirect_to_login(request)
    if not user_code:
        return _page(request, actor)
    try:
        grant = device.access_grant(db, user_code)
    except LlmosError as error:
        return _page(request, actor, error.status, user_code=user_code[:20], errors=field_errors(error))
    client = device.client_name(grant.client_id)
    return _page(request, actor, user_code=grant.user_code, grant=grant, client=client)


@router.post("/device")
def post_device(request: Request, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    actor.check_account_write()
    is_approved = form.text("decision") == "approve"
    try:
        device.decide(db, actor, form.text("user_code"), is_approved=is_approved)
    except LlmosError as error:
        return _page(
            request, actor, error.status, user_code=form.text("user_code")[:20], errors=field_errors(error)
        )
    if is_approved:
        return redirect_page(
            request, "/settings/tokens", lazy("The program is signed in: you can return to it.")
        )
    return redirect_page(request, "/settings/tokens", lazy("The program was refused."), "info")
