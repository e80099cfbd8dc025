"""`/settings/data`: a copy of one's data, and the end of the account."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, Response

from llmos.core.errors import LlmosError
from llmos.features.accounts.models import Namespace
from llmos.features.accounts.queries import list_memberships
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
)
from llmos.features.repos.pages.routes import add_page
from llmos.features.rights.erase import (
    GRACE_DAYS,
    get_deletion,
    request_deletion,
    sole_admin_of,
    undo_deletion,
)
from llmos.features.rights.export import KEPT_DAYS, access_export, list_exports, request_export
from llmos.infra.i18n import lazy, translator
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.routing import add_router
from llmos.ui.render import register_templates
from llmos.ui.views import Option

register_templates(Path(__file__).parent / "templates")


def data_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    if actor.user_id is None:
        return redirect_to_login(request)
    nobody = Option("", translator(request_locale(request, actor)).gettext("Nobody: delete them"))
    heirs = [nobody] + [
        Option(membership.organization.name, membership.organization.name)
        for membership in list_memberships(db, actor.user_id)
        if membership.role in ("write", "admin")
    ]
    deletion = get_deletion(db, actor)
    heir = db.get(Namespace, deletion.heir_id) if deletion and deletion.heir_id else None
    context = {
        "exports": list_exports(db, actor),
        "kept_days": KEPT_DAYS,
        "grace_days": GRACE_DAYS,
        "deletion": deletion,
        "heir": heir.name if heir else "",
        "heirs": heirs,
        "sole_admin_of": sole_admin_of(db, actor.user_id),
        "name": actor.name,
    }
    return render_page(request, actor, "rights/data.html", context)


def post_export(request: Request, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    if actor.user_id is None:
        return redirect_to_login(request)
    request_export(db, actor)
    return redirect_page(request, "/settings/data", lazy("Your copy is being made; it takes some seconds."))


def get_export(rt: RuntimeDep, db: ReadDb, actor: ActorDep, request: Request, export: str) -> Response:
    if actor.user_id is None:
        return redirect_to_login(request)
    path = access_export(db, rt, actor, export)
    headers = {"Cache-Control": "no-store"}
    return FileResponse(
        path, media_type="application/zip", filename=f"{actor.name}-data.zip", headers=headers
    )


def post_delete(request: Request, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    """Fields: `name` typed, `posts` keep or remove, `heir` an organisation or empty; or `action` undo."""
    if actor.user_id is None:
        return redirect_to_login(request)
    if form.text("action") == "undo":
        undo_deletion(db, actor)
        return redirect_page(request, "/settings/data", lazy("Your account stays."))
    try:
        request_deletion(
            db,
            actor,
            typed_name=form.text("name"),
            removes_posts=form.text("posts") == "remove",
            heir=form.text("heir"),
        )
    except LlmosError as error:
        db.rollback()
        return redirect_page(request, "/settings/data", error.message, "danger")
    return redirect_page(
        request, "/settings/data", lazy("Your account will be deleted in %(days)s days.", days=GRACE_DAYS)
    )


def add_rights_pages(app: FastAPI) -> None:
    router = Router()
    add_page(router, "/settings/data", data_page, ["GET", "HEAD"])
    add_page(router, "/settings/data/export", post_export, ["POST"])
    add_page(router, "/settings/data/export/{export:seg}", get_export, ["GET"])
    add_page(router, "/settings/data/delete", post_delete, ["POST"])
    add_router(app, router)
