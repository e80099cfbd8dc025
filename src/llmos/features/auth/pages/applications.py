"""Settings: apps one let in, and apps one has registered."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core.errors import LlmosError
from llmos.features.accounts.actor import Actor
from llmos.features.auth import oauth_apps, oauth_flow
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.oauth_scopes import SCOPES
from llmos.features.auth.page_context import PageForm, redirect_page, redirect_to_login, render_page
from llmos.features.auth.pages.common import field_errors, secret_page
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.lazy_routes import Router

router = Router(include_in_schema=False)
PAGE = "/settings/applications"
_EMPTY = {"name": "", "homepage": "", "redirect_uris": "", "kind": "public", "client_id": ""}


def _page(request: Request, db: Session, actor: Actor, status: int = 200, **context: Any) -> Response:
    values = {
        "grants": oauth_flow.list_grants(db, actor),
        "apps": oauth_apps.list_apps(db, actor),
        "labels": {name: scope.label for name, scope in SCOPES.items()},
        "new_app": None,
        "new_secret": None,
        "form": _EMPTY,
        "errors": {},
        **context,
    }
    response = render_page(request, actor, "auth/applications.html", values, status=status)
    return secret_page(response) if context.get("new_secret") else response


@router.get(PAGE)
def get_applications(request: Request, db: ReadDb, actor: ActorDep, edit: str = "") -> Response:
    if actor.is_anonymous:
        return redirect_to_login(request)
    if not edit:
        return _page(request, db, actor)
    app = oauth_apps.access_own_app(db, actor, edit)
    return _page(
        request,
        db,
        actor,
        form={
            "name": app.name,
            "homepage": app.homepage,
            "redirect_uris": "\n".join(app.redirect_uris),
            "kind": "confidential" if app.is_confidential else "public",
            "client_id": app.client_id,
        },
    )


@router.post(PAGE)
def post_applications(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    """Register an app, or change one (`client_id`); a new secret is shown once."""
    actor.check_account_write()
    entered = {name: form.text(name) for name in _EMPTY}
    uris = entered["redirect_uris"].splitlines()
    secret = None
    try:
        with rt.database.writing() as db:
            if entered["client_id"]:
                app = oauth_apps.access_own_app(db, actor, entered["client_id"])
                oauth_apps.edit_app(
                    db, actor, app, name=entered["name"], redirect_uris=uris, homepage=entered["homepage"]
                )
            else:
                app, secret = oauth_apps.create_app(
                    db,
                    actor,
                    name=entered["name"],
                    redirect_uris=uris,
                    homepage=entered["homepage"],
                    is_public=entered["kind"] != "confidential",
                )
            client_id = app.client_id
    except LlmosError as error:
        if error.status == 404:
            raise
        with rt.database.reading() as db:
            return _page(request, db, actor, error.status, form=entered, errors=field_errors(error))
    if entered["client_id"]:
        return redirect_page(request, PAGE, lazy("The app is changed."))
    with rt.database.reading() as db:
        return _page(request, db, actor, new_app=client_id, new_secret=secret)


@router.post(PAGE + "/secret")
def post_secret(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    with rt.database.writing() as db:
        app = oauth_apps.access_own_app(db, actor, form.text("client_id"))
        secret, client_id = oauth_apps.renew_secret(db, actor, app), app.client_id
    with rt.database.reading() as db:
        return _page(request, db, actor, new_app=client_id, new_secret=secret)


@router.post(PAGE + "/delete")
def post_delete(request: Request, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    oauth_apps.delete_app(db, actor, oauth_apps.access_own_app(db, actor, form.text("client_id")))
    return redirect_page(request, PAGE, lazy("The app is deleted; its tokens no longer work."))


@router.post(PAGE + "/revoke")
def post_revoke(request: Request, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    oauth_flow.revoke_grant(db, actor, form.text("client_id"))
    return redirect_page(request, PAGE, lazy("The app is shut out; its tokens no longer work."))
