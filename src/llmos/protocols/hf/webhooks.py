"""Hub protocol: webhooks of the caller. The list is a bare array, one of them stands in `webhook`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from llmos.core.errors import BadRequest, NotBuilt
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.notifications import webhooks
from llmos.features.notifications.models import Webhook
from llmos.features.notifications.webhooks import Watched
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.lazy_routes import Router
from llmos.protocols.hf.answers import JsonBody, answer, list_of, strings, text_of

router = Router(tags=["webhooks"])
ADDRESS = "/api/settings/webhooks"
ONE = ADDRESS + "/{webhook_id:seg}"
_MAX_ITEMS = 200


def _shape(actor: Actor, webhook: Webhook) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "id": webhook.object_id,
        "url": webhook.url,
        "watched": [{"type": item.kind, "name": item.name} for item in webhook.watched],
        "domains": webhook.domains,
        "disabled": webhook.disabled_at is not None,
    }
    # A token that may only read must not learn what proves our messages.
    if webhook.secret and actor.token_role in (None, "write"):
        shape["secret"] = webhook.secret
    return shape


def _one(actor: Actor, webhook: Webhook) -> Response:
    return answer({"webhook": _shape(actor, webhook)})


def _watched(body: Mapping[str, Any]) -> list[Watched]:
    items = list_of(body, "watched", limit=_MAX_ITEMS)
    if not all(isinstance(item, dict) for item in items):
        raise BadRequest(lazy("watched must hold objects of {type, name}."))
    return [Watched(text_of(item, "type"), text_of(item, "name")) for item in items]


def _domains(body: Mapping[str, Any]) -> list[str] | None:
    if body.get("domains") is None:
        return None
    return strings(list_of(body, "domains", limit=_MAX_ITEMS), "domains")


def _secret(body: Mapping[str, Any]) -> str | None:
    secret = body.get("secret")
    if secret is not None and not isinstance(secret, str):
        raise BadRequest(lazy("secret must be a text."))
    return secret


def _refuse_jobs(body: Mapping[str, Any]) -> None:
    if body.get("jobSourceId") is not None or body.get("secrets"):
        raise NotBuilt(
            lazy("Webhooks that start jobs are not part of this LLMOS version: give a url instead.")
        )


@router.get(ADDRESS)
def get_webhooks(db: ReadDb, actor: ActorDep) -> Response:
    return answer([_shape(actor, webhook) for webhook in webhooks.list_webhooks(db, actor)])


@router.post(ADDRESS)
def post_webhooks(rt: RuntimeDep, actor: ActorDep, db: WriteDb, body: JsonBody) -> Response:
    actor.check_account_write()
    _refuse_jobs(body)
    webhook = webhooks.create_webhook(
        db,
        actor,
        rt.settings,
        url=text_of(body, "url", limit=4000),
        watched=_watched(body),
        domains=_domains(body),
        secret=_secret(body),
    )
    return _one(actor, webhook)


@router.get(ONE)
def get_webhook(db: ReadDb, actor: ActorDep, webhook_id: str) -> Response:
    return _one(actor, webhooks.access_webhook(db, actor, webhook_id))


@router.post(ONE)
def post_webhook(rt: RuntimeDep, actor: ActorDep, db: WriteDb, body: JsonBody, webhook_id: str) -> Response:
    """Change what is given. The client sends an empty `watched` where it means "as it is"."""
    actor.check_account_write()
    _refuse_jobs(body)
    webhook = webhooks.access_webhook(db, actor, webhook_id)
    webhooks.update_webhook(
        db,
        actor,
        rt.settings,
        webhook,
        url=text_of(body, "url", limit=4000) if body.get("url") is not None else None,
        watched=_watched(body) if body.get("watched") else None,
        domains=_domains(body),
        secret=_secret(body),
    )
    return _one(actor, webhook)


def _switch(db: WriteDb, actor: Actor, webhook_id: str, is_enabled: bool) -> Response:
    webhook = webhooks.access_webhook(db, actor, webhook_id)
    return _one(actor, webhooks.set_enabled(db, actor, webhook, is_enabled))


@router.post(ONE + "/enable")
def post_enable(db: WriteDb, actor: ActorDep, webhook_id: str) -> Response:
    return _switch(db, actor, webhook_id, True)


@router.post(ONE + "/disable")
def post_disable(db: WriteDb, actor: ActorDep, webhook_id: str) -> Response:
    return _switch(db, actor, webhook_id, False)


@router.delete(ONE)
def delete_webhook(db: WriteDb, actor: ActorDep, webhook_id: str) -> Response:
    webhooks.delete_webhook(db, actor, webhooks.access_webhook(db, actor, webhook_id))
    return answer({})
