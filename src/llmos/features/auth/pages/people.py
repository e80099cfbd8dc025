"""Following people and organisations from their pages."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import Request
from starlette.responses import Response

from llmos.features.accounts import service
from llmos.features.accounts.policy import access_namespace
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import PageForm, redirect_page, safe_next
from llmos.infra.web.deps import WriteDb
from llmos.infra.web.lazy_routes import Router

router = Router(include_in_schema=False)


@router.post("/-/follow")
def post_follow(request: Request, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    """Fields `name`, `action` (follow or unfollow) and `next`."""
    actor.check_account_write()
    namespace = access_namespace(db, actor, form.text("name"))
    if form.text("action") == "unfollow":
        service.unfollow(db, actor, namespace)
    else:
        service.follow(db, actor, namespace)
    return redirect_page(request, safe_next(form.text("next"), f"/{quote(namespace.name)}"))
