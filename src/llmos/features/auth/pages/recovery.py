"""Pages behind one-time links: the first administrator, a new password, a proven address."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.responses import Response

from llmos.core.errors import LlmosError, NotFound
from llmos.features.accounts.actor import Actor
from llmos.features.auth import links, passwords
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import PageForm, redirect_page, render_page
from llmos.features.auth.pages.common import browser_of, field_errors, has_mail, person_of, signed_in
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.lazy_routes import Router

router = Router(include_in_schema=False)


def _claim_page(request: Request, actor: Actor, status: int = 200, **context: Any) -> Response:
    values = {"name": "", "fullname": "", "email": "", "errors": {}, **context}
    return render_page(request, actor, "auth/claim.html", values, status=status)


@router.get("/-/claim/{secret:seg}")
def get_claim(request: Request, db: ReadDb, actor: ActorDep, secret: str) -> Response:
    links.access_claim(db, secret)
    return _claim_page(request, actor)


@router.post("/-/claim/{secret:seg}")
def post_claim(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm, secret: str) -> Response:
    try:
        session = passwords.claim_admin(rt, actor, secret, person_of(form), browser_of(request))
    except NotFound:
        raise
    except LlmosError as error:
        return _claim_page(
            request,
            actor,
            error.status,
            name=form.text("name"),
            fullname=form.text("fullname"),
            email=form.text("email"),
            errors=field_errors(error),
        )
    return signed_in(request, rt, session, "/")


@router.get("/-/forgot")
def get_forgot(request: Request, actor: ActorDep) -> Response:
    return render_page(request, actor, "auth/forgot.html", {"has_mail": has_mail(request)})


@router.post("/-/forgot")
def post_forgot(request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    links.request_reset(db, rt, actor, form.text("login"))
    return redirect_page(
        request,
        "/login",
        lazy("If there is such an account with a mail address, a link is on its way."),
        "info",
    )


@router.get("/-/reset/{secret:seg}")
def get_reset(request: Request, db: ReadDb, actor: ActorDep, secret: str) -> Response:
    user = links.access_user(db, links.PASSWORD_RESET, secret)
    return render_page(request, actor, "auth/reset.html", {"name": user.name, "errors": {}})


@router.post("/-/reset/{secret:seg}")
def post_reset(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm, secret: str) -> Response:
    with rt.database.reading() as db:
        name = links.access_user(db, links.PASSWORD_RESET, secret).name
    try:
        passwords.reset_password(rt, actor, secret, form.text("password", strip=False))
    except NotFound:
        raise
    except LlmosError as error:
        context = {"name": name, "errors": field_errors(error)}
        return render_page(request, actor, "auth/reset.html", context, status=error.status)
    return redirect_page(request, "/login", lazy("The new password is set: sign in with it."))


@router.get("/-/verify/{secret:seg}")
def get_verify(request: Request, db: ReadDb, actor: ActorDep, secret: str) -> Response:
    user = links.access_user(db, links.VERIFY_EMAIL, secret)
    return render_page(request, actor, "auth/verify.html", {"email": user.email or ""})


@router.post("/-/verify/{secret:seg}")
def post_verify(request: Request, db: WriteDb, actor: ActorDep, form: PageForm, secret: str) -> Response:
    links.verify_email(db, actor, secret)
    return redirect_page(request, "/", lazy("Your mail address is confirmed."))
