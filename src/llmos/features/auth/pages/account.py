"""Settings of one's own profile and account."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core.errors import BadRequest, LlmosError
from llmos.features.accounts import avatars, queries, service
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace, User
from llmos.features.auth import links, passwords, sessions
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import PageForm, redirect_page, redirect_to_login, render_page
from llmos.features.auth.pages.common import field_errors
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.forms import Form
from llmos.infra.web.lazy_routes import Router

router = Router(include_in_schema=False)


@router.get("/settings")
def get_settings_home(request: Request) -> Response:
    return redirect_page(request, "/settings/profile")


def _profile_page(request: Request, db: Session, actor: Actor, status: int = 200, **context: Any) -> Response:
    namespace = db.get_one(Namespace, actor.require_user())
    values = {
        "card": queries.card_of(namespace),
        "fullname": namespace.fullname,
        "details": namespace.details,
        "website": namespace.website,
        "has_picture": namespace.avatar_key is not None,
        "errors": {},
        **context,
    }
    return render_page(request, actor, "auth/profile.html", values, status=status)


@router.get("/settings/profile")
def get_profile(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    if actor.is_anonymous:
        return redirect_to_login(request)
    return _profile_page(request, db, actor)


@router.post("/settings/profile")
def post_profile(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    user_id = actor.require_user()
    fields = {name: form.text(name) for name in ("fullname", "details", "website")}
    try:
        with rt.database.writing() as db:
            service.change_profile(db, actor, db.get_one(Namespace, user_id), **fields)
    except LlmosError as error:
        with rt.database.reading() as db:
            return _profile_page(request, db, actor, error.status, **fields, errors=field_errors(error))
    return redirect_page(request, "/settings/profile", lazy("Your profile is saved."))


@router.post("/settings/avatar")
def post_avatar(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    user_id = actor.require_user()
    try:
        change_picture(rt, actor, user_id, form)
    except LlmosError as error:
        with rt.database.reading() as db:
            return _profile_page(request, db, actor, error.status, errors=field_errors(error))
    return redirect_page(request, "/settings/profile", lazy("Your picture is changed."))


def change_picture(rt: Runtime, actor: Actor, namespace_id: int, form: Form) -> None:
    """Take the picture of the form's field `avatar`, or drop the present one if asked to."""
    data = form.file("avatar")
    if data is None and not form.has("remove"):
        raise BadRequest(lazy("Choose a picture first."), data={"field": "avatar"})
    with rt.database.writing() as db:
        namespace = db.get_one(Namespace, namespace_id)
        old_key = namespace.avatar_key
        if data is not None:
            avatars.change_avatar(db, rt, actor, namespace, data)
        else:
            avatars.remove_avatar(actor, namespace)
        new_key = namespace.avatar_key
    if old_key and old_key != new_key:
        rt.objects.delete(old_key)


def _account_page(request: Request, db: Session, actor: Actor, status: int = 200, **context: Any) -> Response:
    user = db.get_one(User, actor.require_user())
    values = {
        "user": user,
        "email": user.email or "",
        "sessions": sessions.list_sessions(db, user.id),
        "this_session_id": actor.session_id,
        "errors": {},
        **context,
    }
    return render_page(request, actor, "auth/account.html", values, status=status)


@router.get("/settings/account")
def get_account(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    if actor.is_anonymous:
        return redirect_to_login(request)
    return _account_page(request, db, actor)


@router.post("/settings/password")
def post_password(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    try:
        old, new = form.text("old_password", strip=False), form.text("password", strip=False)
        passwords.change_password(rt, actor, old, new)
    except LlmosError as error:
        if "field" not in error.data:
            raise
        with rt.database.reading() as db:
            return _account_page(request, db, actor, error.status, errors=field_errors(error))
    return redirect_page(
        request, "/settings/account", lazy("The password is changed, and your other sessions are ended.")
    )


@router.post("/settings/email")
def post_email(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    user_id, email = actor.require_user(), form.text("email")
    try:
        with rt.database.writing() as db:
            user = db.get_one(User, user_id)
            if service.change_email(db, actor, user, email):
                links.send_verification(db, rt, user)
    except LlmosError as error:
        with rt.database.reading() as db:
            return _account_page(request, db, actor, error.status, email=email, errors=field_errors(error))
    return redirect_page(request, "/settings/account", lazy("Your mail address is saved."))


@router.post("/settings/sessions")
def post_sessions(request: Request, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    """Field `session_id`: end that one; without it: end all but this one."""
    actor.check_account_write()
    user = db.get_one(User, actor.require_user())
    wanted = form.text("session_id")
    if wanted:
        if not wanted.isdecimal() or len(wanted) > 18:
            raise BadRequest(lazy("session_id must be a number."))
        sessions.end_session(db, actor, int(wanted))
    else:
        sessions.end_sessions(db, actor, user, keep_id=actor.session_id)
    return redirect_page(request, "/settings/account", lazy("Done: that sign-in has ended."))
