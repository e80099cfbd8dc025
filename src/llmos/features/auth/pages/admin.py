"""Administration: people, their access and storage; the audit trail."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, Response

from llmos.core.errors import BadRequest
from llmos.features.accounts import invitations, queries, service
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.policy import access_user, check_is_admin
from llmos.features.auth import links
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import PageForm, redirect_page, redirect_to_login, render_page
from llmos.features.auth.pages.common import secret_page
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep
from llmos.infra.web.forms import Form
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.urls import base_url
from llmos.ui.filters import with_query

router = Router(include_in_schema=False)
GB = 1_000_000_000
# Beginnings of names that are looked for often.
AUDIT_GROUPS = ("moderation.", "case.", "appeal.", "flag.", "user.", "standing.", "token.", "org.", "repo.")


@router.get("/-/admin")
def get_admin(request: Request) -> Response:
    return redirect_page(request, "/-/admin/users")


def _page(
    request: Request, db: Session, actor: Actor, q: str = "", cursor: str | None = None, **context: Any
) -> HTMLResponse:
    page = queries.list_users(db, query=q[:100], limit=50, cursor=cursor)
    values = {"users": page.items, "next_cursor": page.next_cursor, "q": q, "link": None, "link_for": "",
              **context}  # fmt: skip
    return render_page(request, actor, "accounts/admin_users.html", values)


@router.get("/-/admin/users")
def get_users(
    request: Request, db: ReadDb, actor: ActorDep, q: str = "", cursor: str | None = None
) -> Response:
    if actor.is_anonymous:
        return redirect_to_login(request)
    check_is_admin(actor)
    return _page(request, db, actor, q.replace("\0", ""), cursor)


@router.post("/-/admin/users")
def post_users(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    """Field `action`: disable, enable, admin, member, quota, reset_link (with `name`) or invite."""
    check_is_admin(actor)
    with rt.database.writing() as db:
        link = _change_user(db, rt, actor, form)
    if link is None:
        return redirect_page(request, "/-/admin/users", lazy("Done."))
    address = f"{base_url(request, rt.settings)}{link}"
    with rt.database.reading() as db:
        return secret_page(_page(request, db, actor, link=address, link_for=form.text("name")))


def _change_user(db: Session, rt: Runtime, actor: Actor, form: Form) -> str | None:
    action = form.text("action")
    if action == "invite":
        return f"/-/invite/{invitations.create_site_invitation(db, actor)}"
    user = access_user(db, actor, form.text("name"))
    if action == "reset_link":
        return "/-/reset/" + links.create_reset_link(db, rt, actor, user).rpartition("/")[2]
    if action == "disable":
        service.disable_user(db, actor, user)
    elif action == "enable":
        service.enable_user(db, actor, user)
    elif action in ("admin", "member"):
        service.change_admin(db, actor, user, is_admin=action == "admin")
    elif action == "quota":
        service.change_quota(db, actor, user.namespace, _quota(form.text("quota")))
    else:
        raise BadRequest(lazy("action must be disable, enable, admin, member, quota, reset_link or invite."))
    return None


def _quota(text: str) -> int | None:
    """Gigabytes as typed; empty for the site's default."""
    if not text:
        return None
    try:
        size_bytes = float(text) * GB
        return int(size_bytes)
    except (ValueError, OverflowError):
        raise BadRequest(lazy("The quota must be a number of gigabytes."), data={"field": "quota"}) from None


@router.get("/-/admin/audit")
def get_audit(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """`action` (the beginning of its name), `who`, `cursor`."""
    if actor.is_anonymous:
        return redirect_to_login(request)
    check_is_admin(actor)
    params = request.query_params
    wish = {key: params.get(key, "").replace("\0", "").strip()[:96] for key in ("action", "who")}
    page = queries.list_audit(db, action=wish["action"], who=wish["who"], cursor=params.get("cursor"))
    next_href = (
        with_query("/-/admin/audit", wish | {"cursor": page.next_cursor}) if page.next_cursor else None
    )
    context = {"events": page.items, "wish": wish, "next_href": next_href, "groups": AUDIT_GROUPS}
    return render_page(request, actor, "accounts/admin_audit.html", context)
