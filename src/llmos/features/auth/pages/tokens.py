"""Settings: access tokens."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core import clock
from llmos.core.errors import BadRequest, LlmosError
from llmos.features.accounts import queries
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import User
from llmos.features.auth import tokens
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import PageForm, redirect_page, redirect_to_login, render_page
from llmos.features.auth.pages.common import field_errors, secret_page
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.forms import Form
from llmos.infra.web.lazy_routes import Router
from llmos.ui.views import Option

router = Router(include_in_schema=False)


def _page(request: Request, db: Session, actor: Actor, status: int = 200, **context: Any) -> Response:
    user = db.get_one(User, actor.require_user())
    memberships = queries.list_memberships(db, user.id)
    values = {
        "tokens": tokens.list_tokens(db, user),
        "now": clock.now(),
        "namespaces": [
            Option(name, name) for name in (user.name, *(found.organization.name for found in memberships))
        ],
        "verbs": tokens.VERBS,
        "new_value": None,
        "form": {"name": "", "role": "read", "expires": "", "verbs": [], "target": "", "repos": ""},
        "errors": {},
        **context,
    }
    response = render_page(request, actor, "auth/tokens.html", values, status=status)
    return secret_page(response) if context.get("new_value") else response


@router.get("/settings/tokens")
def get_tokens(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    if actor.is_anonymous:
        return redirect_to_login(request)
    return _page(request, db, actor)


@router.post("/settings/tokens")
def post_tokens(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    """Create a token and show it, once."""
    actor.check_account_write()
    user_id = actor.require_user()
    entered = {
        "name": form.text("name"),
        "role": form.text("role"),
        "expires": form.text("expires"),
        "verbs": form.texts("verbs"),
        "target": form.text("target"),
        "repos": form.text("repos"),
    }
    try:
        with rt.database.writing() as db:
            _, value = tokens.create_token(
                db,
                actor,
                db.get_one(User, user_id),
                name=form.text("name"),
                role=form.text("role"),
                scopes=_scopes(form),
                expires_in_days=_days(form.text("expires")),
            )
    except LlmosError as error:
        with rt.database.reading() as db:
            return _page(request, db, actor, error.status, form=entered, errors=field_errors(error))
    with rt.database.reading() as db:
        return _page(request, db, actor, new_value=value)


def _days(text: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or len(text) > 5:
        raise BadRequest(lazy("Say the days until it expires as a number."), data={"field": "expires"})
    return int(text)


def _scopes(form: Form) -> list[dict[str, Any]]:
    """Verbs ticked, for one namespace and for each repository written on a line of its own."""
    if form.text("role") != "fineGrained":
        return []
    targets = [form.text("target"), *form.text("repos").replace(",", "\n").splitlines()]
    verbs = form.texts("verbs")
    return [{"target": target.strip(), "verbs": verbs} for target in targets if target.strip()]


@router.post("/settings/tokens/revoke")
def post_revoke(request: Request, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    actor.check_account_write()
    tokens.revoke_token(db, actor, tokens.access_own_token(db, actor, form.text("id")))
    return redirect_page(request, "/settings/tokens", lazy("The token is revoked."))
