"""Organisations: one's own list, creating, settings, members, invitations."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, Response

from llmos.core.errors import BadRequest, LlmosError
from llmos.features.accounts import invitations, organizations, queries, service
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Organization, User
from llmos.features.accounts.policy import (
    access_organization,
    access_user,
    check_can_manage,
)
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import PageForm, redirect_page, redirect_to_login, render_page
from llmos.features.auth.pages.account import change_picture
from llmos.features.auth.pages.common import field_errors, secret_page
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.forms import Form
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.urls import base_url

router = Router(include_in_schema=False)
ROLES = ("read", "contributor", "write", "admin")


@router.get("/settings/organizations")
def get_my_organizations(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    if actor.is_anonymous:
        return redirect_to_login(request)
    user = db.get_one(User, actor.require_user())
    open_invitations = [
        (invitation, db.get_one(Organization, invitation.org_id))
        for invitation in invitations.list_for_user(db, user)
    ]
    context = {"memberships": queries.list_memberships(db, user.id), "invitations": open_invitations}
    return render_page(request, actor, "accounts/my_organizations.html", context)


@router.post("/settings/invitations")
def post_invitation(request: Request, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    """Accept or decline an invitation addressed by name: fields `id` and `decision`."""
    actor.check_account_write()
    user = db.get_one(User, actor.require_user())
    invitation = invitations.access_by_id(db, actor, _number(form, "id"))
    if form.text("decision") == "accept":
        invitations.accept(db, actor, invitation, user)
        return redirect_page(request, "/settings/organizations", lazy("You are a member now."))
    invitations.decline(db, actor, invitation)
    return redirect_page(request, "/settings/organizations", lazy("The invitation is declined."), "info")


def _new_page(request: Request, actor: Actor, status: int = 200, **context: Any) -> Response:
    values = {"name": "", "fullname": "", "default_visibility": "public", "errors": {}, **context}
    return render_page(request, actor, "accounts/new_organization.html", values, status=status)


@router.get("/organizations/new")
def get_new(request: Request, actor: ActorDep) -> Response:
    return redirect_to_login(request) if actor.is_anonymous else _new_page(request, actor)


@router.post("/organizations/new")
def post_new(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    actor.check_account_write()
    user_id = actor.require_user()
    fields = {name: form.text(name) for name in ("name", "fullname", "default_visibility")}
    try:
        with rt.database.writing() as db:
            org = organizations.create_org(db, actor, owner=db.get_one(User, user_id), **fields)
            name = org.name
    except LlmosError as error:
        return _new_page(request, actor, error.status, **fields, errors=field_errors(error))
    return redirect_page(request, f"/orgs/{quote(name)}/members", lazy("The organisation is created."))


def _settings_page(
    request: Request, db: Session, actor: Actor, name: str, status: int = 200, **context: Any
) -> Response:
    org = access_organization(db, actor, name)
    check_can_manage(actor, org)
    values = {
        "org": org,
        "card": queries.card_of(org.namespace),
        "fullname": org.namespace.fullname,
        "details": org.namespace.details,
        "website": org.namespace.website,
        "default_visibility": org.default_visibility,
        "has_picture": org.namespace.avatar_key is not None,
        "errors": {},
        **context,
    }
    return render_page(request, actor, "accounts/org_settings.html", values, status=status)


@router.get("/orgs/{name:seg}/settings")
def get_org_settings(request: Request, db: ReadDb, actor: ActorDep, name: str) -> Response:
    return redirect_to_login(request) if actor.is_anonymous else _settings_page(request, db, actor, name)


@router.post("/orgs/{name:seg}/settings")
def post_org_settings(
    request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm, name: str
) -> Response:
    fields = {key: form.text(key) for key in ("fullname", "details", "website")}
    visibility = form.text("default_visibility", "public")
    try:
        with rt.database.writing() as db:
            org = access_organization(db, actor, name)
            service.change_profile(db, actor, org.namespace, **fields)
            organizations.change_default_visibility(db, actor, org, visibility)
    except LlmosError as error:
        if "field" not in error.data:
            raise
        with rt.database.reading() as db:
            errors = field_errors(error)
            return _settings_page(request, db, actor, name, error.status, **fields, errors=errors)
    return redirect_page(request, f"/orgs/{quote(name)}/settings", lazy("The settings are saved."))


@router.post("/orgs/{name:seg}/avatar")
def post_org_avatar(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm, name: str) -> Response:
    with rt.database.reading() as db:
        org = access_organization(db, actor, name)
        check_can_manage(actor, org)
    try:
        change_picture(rt, actor, org.id, form)
    except LlmosError as error:
        with rt.database.reading() as db:
            return _settings_page(request, db, actor, name, error.status, errors=field_errors(error))
    return redirect_page(request, f"/orgs/{quote(name)}/settings", lazy("The picture is changed."))


def _members_page(
    request: Request, db: Session, actor: Actor, name: str, status: int = 200, **context: Any
) -> HTMLResponse:
    org = access_organization(db, actor, name)
    check_can_manage(actor, org)
    values = {
        "org": org,
        "members": queries.list_members(db, org.id, limit=queries.MAX_PAGE_SIZE).items,
        "invitations": [
            (invitation, db.get(User, invitation.invitee_id) if invitation.invitee_id else None)
            for invitation in invitations.list_for_org(db, org)
        ],
        "roles": ROLES,
        "link": None,
        "user": "",
        "errors": {},
        **context,
    }
    return render_page(request, actor, "accounts/org_members.html", values, status=status)


@router.get("/orgs/{name:seg}/members")
def get_members(request: Request, db: ReadDb, actor: ActorDep, name: str) -> Response:
    return redirect_to_login(request) if actor.is_anonymous else _members_page(request, db, actor, name)


@router.post("/orgs/{name:seg}/members")
def post_members(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm, name: str) -> Response:
    """Field `action`: role, remove, invite (by name), link (an invitation link) or withdraw."""
    action = form.text("action")
    try:
        with rt.database.writing() as db:
            org = access_organization(db, actor, name)
            secret = _change_members(db, actor, org, form, action)
    except LlmosError as error:
        with rt.database.reading() as db:
            errors, user = field_errors(error), form.text("user")
            return _members_page(request, db, actor, name, error.status, user=user, errors=errors)
    if secret is not None:
        with rt.database.reading() as db:
            link = f"{base_url(request, rt.settings)}/-/invite/{secret}"
            return secret_page(_members_page(request, db, actor, name, link=link))
    target = f"/orgs/{quote(name)}/members"
    if action == "remove" and form.text("user").lower() == actor.name.lower():
        target = "/settings/organizations"
    return redirect_page(request, target, lazy("Done."))


def _change_members(db: Session, actor: Actor, org: Organization, form: Form, action: str) -> str | None:
    role = form.text("role", "read")
    if action == "link":
        return invitations.create_org_invitation(db, actor, org, role)
    if action == "withdraw":
        invitations.withdraw(db, actor, org, _number(form, "id"))
        return None
    if action not in ("role", "remove", "invite"):
        raise BadRequest(lazy("action must be role, remove, invite, link or withdraw."))
    if action != "remove":
        check_can_manage(actor, org)
    user = access_user(db, actor, form.text("user"))
    if action == "role":
        organizations.change_role(db, actor, org, user, role)
    elif action == "remove":
        organizations.remove_member(db, actor, org, user)
    else:
        invitations.invite_user(db, actor, org, user, role)
    return None


@router.get("/-/invite/{secret:seg}")
def get_invite(request: Request, db: ReadDb, actor: ActorDep, secret: str) -> Response:
    invitation = invitations.access_by_secret(db, secret)
    if invitation.org_id is None:
        return redirect_page(request, f"/join?invite={quote(secret)}")
    if actor.is_anonymous:
        return redirect_to_login(request)
    org = db.get_one(Organization, invitation.org_id)
    context = {"org": org, "card": queries.card_of(org.namespace), "role": invitation.role}
    return render_page(request, actor, "accounts/invite.html", context)


@router.post("/-/invite/{secret:seg}")
def post_invite(request: Request, db: WriteDb, actor: ActorDep, form: PageForm, secret: str) -> Response:
    actor.check_account_write()
    user = db.get_one(User, actor.require_user())
    invitations.accept(db, actor, invitations.access_by_secret(db, secret), user)
    return redirect_page(request, "/settings/organizations", lazy("You are a member now."))


def _number(form: Form, name: str) -> int:
    text = form.text(name)
    if not text.isdecimal() or len(text) > 18:
        raise BadRequest(lazy("%(name)s must be a number.", name=name))
    return int(text)
