"""Signing in, up and out; language and theme."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.responses import Response

from llmos.core.errors import LlmosError
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import User
from llmos.features.auth import passwords, sessions
from llmos.features.auth.edge import SESSION_COOKIE, ActorDep
from llmos.features.auth.page_context import (
    LOCALE_COOKIE,
    THEME_COOKIE,
    PageForm,
    redirect_page,
    render_page,
    safe_next,
)
from llmos.features.auth.pages.common import browser_of, field_errors, has_mail, person_of, signed_in
from llmos.infra.i18n import LOCALES, lazy
from llmos.infra.web.cookies import drop_cookie, set_cookie
from llmos.infra.web.deps import RuntimeDep, WriteDb
from llmos.infra.web.lazy_routes import Router

router = Router(include_in_schema=False)
_YEAR_S = 365 * 86_400
_THEMES = ("auto", "light", "dark")


def _login_page(request: Request, actor: Actor, status: int = 200, **context: Any) -> Response:
    values = {"next": "/", "login": "", "errors": {}, "has_mail": has_mail(request), **context}
    return render_page(request, actor, "auth/login.html", values, status=status)


@router.get("/login")
def get_login(request: Request, actor: ActorDep, next: str = "/") -> Response:
    target = safe_next(next)
    if not actor.is_anonymous:
        return redirect_page(request, target)
    return _login_page(request, actor, next=target)


@router.post("/login")
def post_login(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    login, target = form.text("login"), safe_next(form.text("next"))
    try:
        password = form.text("password", strip=False)
        secret = passwords.sign_in(rt, actor, login, password, browser_of(request))
    except LlmosError as error:
        return _login_page(request, actor, error.status, next=target, login=login, errors=field_errors(error))
    return signed_in(request, rt, secret, target)


@router.post("/logout")
def post_logout(request: Request, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    if actor.session_id is not None:
        sessions.end_session(db, actor, actor.session_id)
    response = redirect_page(request, "/", lazy("You are signed out."))
    drop_cookie(response, SESSION_COOKIE)
    return response


def _join_page(request: Request, actor: Actor, status: int = 200, **context: Any) -> Response:
    values = {"name": "", "fullname": "", "email": "", "invite": "", "next": "/", "errors": {}, **context}
    return render_page(request, actor, "auth/join.html", values, status=status)


@router.get("/join")
def get_join(
    request: Request, rt: RuntimeDep, actor: ActorDep, next: str = "/", invite: str = ""
) -> Response:
    if not actor.is_anonymous:
        return redirect_page(request, safe_next(next))
    passwords.check_can_sign_up(rt, invite)
    return _join_page(request, actor, next=safe_next(next), invite=invite)


@router.post("/join")
def post_join(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    target, invite = safe_next(form.text("next")), form.text("invite")
    passwords.check_can_sign_up(rt, invite)
    try:
        person = person_of(form)
        secret = passwords.sign_up(rt, actor, person, browser_of(request), invitation=invite or None)
    except LlmosError as error:
        return _join_page(
            request,
            actor,
            error.status,
            name=form.text("name"),
            fullname=form.text("fullname"),
            email=form.text("email"),
            invite=invite,
            next=target,
            errors=field_errors(error),
        )
    return signed_in(request, rt, secret, target)


@router.post("/-/preferences")
def post_preferences(
    request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, form: PageForm
) -> Response:
    """Keep the language or theme in a cookie, and for signed-in people with their account."""
    response = redirect_page(request, safe_next(form.text("next")))
    user = db.get(User, actor.user_id) if actor.user_id is not None else None
    locale, theme = form.text("locale"), form.text("theme")
    if locale in LOCALES:
        set_cookie(response, request, rt.settings, LOCALE_COOKIE, locale, max_age_s=_YEAR_S)
        if user is not None:
            user.locale = locale
    if theme in _THEMES:
        set_cookie(response, request, rt.settings, THEME_COOKIE, theme, max_age_s=_YEAR_S)
        if user is not None:
            user.theme = theme
    return response
