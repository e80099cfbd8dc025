"""`/settings/webhooks`: create, change, switch, delete; what was sent and what came back."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.core.errors import BadRequest, LlmosError
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import PageForm, redirect_page, redirect_to_login, render_page
from llmos.features.notifications import webhooks
from llmos.features.notifications.models import Webhook, WebhookDelivery
from llmos.features.notifications.webhooks import Watched
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.forms import Form
from llmos.infra.web.lazy_routes import Router
from llmos.ui.filters import with_query

router = Router(include_in_schema=False)
ADDRESS = "/settings/webhooks"
ONE = ADDRESS + "/{webhook_id:seg}"
_EMPTY = {"url": "", "watched": "", "domains": list(webhooks.DOMAINS), "secret": ""}


def parse_watched(text: str) -> list[Watched]:
    """Lines of `model:ada/tiny-llm` or `user:ada`; BadRequest names the line."""
    found: list[Watched] = []
    for line in text.replace(",", "\n").splitlines():
        kind, colon, name = line.strip().partition(":")
        if not line.strip():
            continue
        if not colon or not name.strip():
            raise BadRequest(
                lazy("Write %(line)r as type:name, for example user:ada.", line=line.strip()[:80]),
                data={"field": "watched"},
            )
        found.append(Watched(kind.strip().lower(), name.strip()))
    return found


def _entered(form: Form) -> dict[str, Any]:
    return {
        "url": form.text("url"),
        "watched": form.text("watched"),
        "domains": form.texts("domains"),
        "secret": form.text("secret"),
    }


def _of(webhook: Webhook) -> dict[str, Any]:
    return {
        "url": webhook.url,
        "watched": "\n".join(f"{item.kind}:{item.name}" for item in webhook.watched),
        "domains": webhook.domains,
        "secret": webhook.secret or "",
    }


def _errors(error: LlmosError) -> dict[str, str]:
    """The message under its field: those of webhooks begin with the field's name."""
    message = str(error.message)
    field = (error.data or {}).get("field") or next(
        (name for name in _EMPTY if message.startswith(name)), "watched" if error.status == 404 else ""
    )
    return {field: error.message}


def _list_page(request: Request, db: Session, actor: Actor, status: int = 200, **more: Any) -> Response:
    context = {
        "webhooks": webhooks.list_webhooks(db, actor),
        "domains": webhooks.DOMAINS,
        "form": _EMPTY,
        "errors": {},
        **more,
    }
    return render_page(request, actor, "notifications/webhooks.html", context, status=status)


@router.get(ADDRESS)
def get_webhooks(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    if actor.is_anonymous:
        return redirect_to_login(request)
    return _list_page(request, db, actor)


@router.post(ADDRESS)
def post_webhooks(request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm) -> Response:
    actor.check_account_write()
    actor.require_user()
    try:
        with rt.database.writing() as db:
            webhook = webhooks.create_webhook(
                db,
                actor,
                rt.settings,
                url=form.text("url"),
                watched=parse_watched(form.text("watched")),
                domains=form.texts("domains"),
                secret=form.text("secret"),
            )
    except LlmosError as error:
        with rt.database.reading() as db:
            return _list_page(request, db, actor, error.status, form=_entered(form), errors=_errors(error))
    return redirect_page(request, f"{ADDRESS}/{webhook.object_id}", lazy("The webhook is set up."))


def _delivery(row: WebhookDelivery) -> dict[str, Any]:
    return {
        "id": row.object_id,
        "event": row.event,
        "status": row.status,
        "attempts": row.attempts,
        "created_at": row.created_at,
        "attempted_at": row.attempted_at,
        "next_at": row.next_at if row.status == "pending" and row.attempts else None,
        "response_status": row.response_status,
        "took_ms": row.took_ms,
        "request": row.body[:4000].decode("utf-8", "replace"),
        "response": row.response_excerpt,
        "error": row.error,
    }


def _detail(
    request: Request, db: Session, actor: Actor, webhook: Webhook, status: int = 200, **more: Any
) -> Response:
    page = webhooks.list_deliveries(db, webhook, cursor=request.query_params.get("cursor"))
    here = f"{ADDRESS}/{webhook.object_id}"
    context = {
        "webhook": webhook,
        "here": here,
        "domains": webhooks.DOMAINS,
        "form": _of(webhook),
        "errors": {},
        "deliveries": [_delivery(row) for row in page.items],
        "next_href": with_query(here, {"cursor": page.next_cursor}) if page.next_cursor else None,
        **more,
    }
    return render_page(request, actor, "notifications/webhook.html", context, status=status)


@router.get(ONE)
def get_webhook(request: Request, db: ReadDb, actor: ActorDep, webhook_id: str) -> Response:
    if actor.is_anonymous:
        return redirect_to_login(request)
    actor.check_account_write()
    return _detail(request, db, actor, webhooks.access_webhook(db, actor, webhook_id))


@router.post(ONE)
def post_webhook(
    request: Request, rt: RuntimeDep, actor: ActorDep, form: PageForm, webhook_id: str
) -> Response:
    try:
        with rt.database.writing() as db:
            webhook = webhooks.access_webhook(db, actor, webhook_id)
            webhooks.update_webhook(
                db,
                actor,
                rt.settings,
                webhook,
                url=form.text("url"),
                watched=parse_watched(form.text("watched")),
                domains=form.texts("domains"),
                secret=form.text("secret"),
            )
    except LlmosError as error:
        with rt.database.reading() as db:
            webhook = webhooks.access_webhook(db, actor, webhook_id)
            more = {"form": _entered(form), "errors": _errors(error)}
            return _detail(request, db, actor, webhook, error.status, **more)
    return redirect_page(request, f"{ADDRESS}/{webhook_id}", lazy("Your choice is saved."))


@router.post(ONE + "/switch")
def post_switch(request: Request, db: WriteDb, actor: ActorDep, form: PageForm, webhook_id: str) -> Response:
    webhook = webhooks.access_webhook(db, actor, webhook_id)
    is_on = form.text("on") == "1"
    webhooks.set_enabled(db, actor, webhook, is_on)
    message = lazy("The webhook is switched on.") if is_on else lazy("The webhook is switched off.")
    return redirect_page(request, f"{ADDRESS}/{webhook.object_id}", message)


@router.post(ONE + "/delete")
def post_delete(request: Request, db: WriteDb, actor: ActorDep, form: PageForm, webhook_id: str) -> Response:
    webhooks.delete_webhook(db, actor, webhooks.access_webhook(db, actor, webhook_id))
    return redirect_page(request, ADDRESS, lazy("The webhook is deleted."))


@router.post(ONE + "/redeliver")
def post_redeliver(
    request: Request, db: WriteDb, actor: ActorDep, form: PageForm, webhook_id: str
) -> Response:
    webhook = webhooks.access_webhook(db, actor, webhook_id)
    delivery = webhooks.access_delivery(db, webhook, form.text("id"))
    webhooks.redeliver(db, actor, webhook, delivery)
    return redirect_page(request, f"{ADDRESS}/{webhook.object_id}", lazy("It will be sent again."))
