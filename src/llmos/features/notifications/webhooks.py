"""Webhooks of a person: what they watch, where news goes. Delivery is in `webhook_delivery`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.ids import new_object_id
from llmos.core.names import split_repo_name
from llmos.core.pagination import Page, check_limit, decode_cursor, make_page
from llmos.core.repo_types import RepoType
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.policy import access_namespace
from llmos.features.notifications.models import Webhook, WebhookDelivery, WebhookWatch
from llmos.features.repos.cursors import cursor_int
from llmos.features.repos.policy import access_repo
from llmos.infra.http_out import check_url, parse_networks
from llmos.infra.i18n import lazy
from llmos.infra.settings import Settings

DOMAINS: Final = ("repo", "discussion")
MAX_WEBHOOKS = 20
MAX_WATCHED = 50
MAX_SECRET_CHARS = 200
_KINDS = ("user", "org", *RepoType)


@dataclass(frozen=True, slots=True)
class Watched:
    """What a webhook shall watch: `kind` user, org or a type of repository; `name` as people write it."""

    kind: str
    name: str


def check_domains(domains: Sequence[Any] | None) -> list[str]:
    """The domains in their order, both by default; BadRequest for an unknown one."""
    wanted = {"discussion" if item == "discussions" else item for item in domains or DOMAINS}
    if not wanted <= set(DOMAINS):
        raise BadRequest(lazy("domains may hold only %(choices)s.", choices=", ".join(DOMAINS)))
    return [domain for domain in DOMAINS if domain in wanted]


def check_secret(secret: str | None) -> str | None:
    """BadRequest for what cannot stand in a header."""
    if not secret:
        return None
    if len(secret) > MAX_SECRET_CHARS:
        raise BadRequest(lazy("secret is too long: at most %(limit)s characters.", limit=MAX_SECRET_CHARS))
    if any(not 0x21 <= ord(char) <= 0x7E for char in secret):
        raise BadRequest(lazy("secret may hold only visible ASCII characters without spaces."))
    return secret


def _find(db: Session, actor: Actor, item: Watched) -> WebhookWatch:
    if item.kind not in _KINDS:
        raise BadRequest(lazy("watched: type must be one of %(choices)s.", choices=", ".join(_KINDS)))
    if item.kind in ("user", "org"):
        namespace = access_namespace(db, actor, item.name)
        if namespace.kind != item.kind:
            raise NotFound(lazy("There is no %(kind)s called %(name)s.", kind=item.kind, name=item.name))
        return WebhookWatch(kind=item.kind, target=namespace.object_id, name=namespace.name)
    repo = access_repo(db, actor, RepoType(item.kind), *split_repo_name(item.name, field="watched"))
    return WebhookWatch(kind=item.kind, target=repo.object_id, name=repo.repo_name)


def _watch(db: Session, actor: Actor, watched: Sequence[Watched]) -> list[WebhookWatch]:
    if not watched:
        raise BadRequest(lazy("watched is empty: name at least one person, organisation or repository."))
    if len(watched) > MAX_WATCHED:
        raise BadRequest(lazy("watched holds too many items: at most %(limit)s.", limit=MAX_WATCHED))
    found = {row.target: row for row in (_find(db, actor, item) for item in watched)}
    return list(found.values())


def create_webhook(
    db: Session,
    actor: Actor,
    settings: Settings,
    *,
    url: str,
    watched: Sequence[Watched],
    domains: Sequence[Any] | None = None,
    secret: str | None = None,
) -> Webhook:
    """A new webhook, switched on. BadRequest names the field; NotFound for what cannot be watched."""
    actor.check_account_write()
    user_id = actor.require_user()
    count = db.scalar(select(func.count()).where(Webhook.user_id == user_id)) or 0
    if count >= MAX_WEBHOOKS:
        raise Conflict(lazy("You have %(count)s webhooks, which is the most: delete one first.", count=count))
    webhook = Webhook(
        object_id=new_object_id(),
        user_id=user_id,
        url=check_url(url, parse_networks(settings.webhook_allow_private)),
        domains=check_domains(domains),
        secret=check_secret(secret),
        watched=_watch(db, actor, watched),
    )
    db.add(webhook)
    audit.record(db, actor, "webhook.create", webhook.object_id)
    db.flush()
    return webhook


def update_webhook(
    db: Session,
    actor: Actor,
    settings: Settings,
    webhook: Webhook,
    *,
    url: str | None = None,
    watched: Sequence[Watched] | None = None,
    domains: Sequence[Any] | None = None,
    secret: str | None = None,
) -> Webhook:
    """Change what is given; an empty `secret` takes it away. Raises as `create_webhook` does."""
    actor.check_account_write()
    if url is not None:
        webhook.url = check_url(url, parse_networks(settings.webhook_allow_private))
    if domains is not None:
        webhook.domains = check_domains(domains)
    if secret is not None:
        webhook.secret = check_secret(secret)
    if watched is not None:
        wanted = {row.target: row for row in _watch(db, actor, watched)}
        kept = [row for row in webhook.watched if row.target in wanted]
        fresh = wanted.keys() - {row.target for row in kept}
        webhook.watched = [*kept, *(row for target, row in wanted.items() if target in fresh)]
    audit.record(db, actor, "webhook.update", webhook.object_id)
    db.flush()
    return webhook


def set_enabled(db: Session, actor: Actor, webhook: Webhook, is_enabled: bool) -> Webhook:
    """Switch on or off. What waited is sent once it is on again; news meanwhile is not kept."""
    actor.check_account_write()
    webhook.disabled_at = None if is_enabled else webhook.disabled_at or clock.now()
    if is_enabled:
        webhook.failing_since = None
        for row in db.scalars(_pending(webhook)):
            row.next_at, row.attempts = clock.now(), 0
    audit.record(db, actor, "webhook.enable" if is_enabled else "webhook.disable", webhook.object_id)
    return webhook


def _pending(webhook: Webhook) -> Any:
    return select(WebhookDelivery).where(
        WebhookDelivery.webhook_id == webhook.id, WebhookDelivery.status == "pending"
    )


def delete_webhook(db: Session, actor: Actor, webhook: Webhook) -> None:
    """The webhook, its log and whatever waits."""
    actor.check_account_write()
    audit.record(db, actor, "webhook.delete", webhook.object_id)
    db.delete(webhook)


def list_webhooks(db: Session, actor: Actor) -> list[Webhook]:
    """The actor's own, oldest first."""
    statement = select(Webhook).where(Webhook.user_id == actor.require_user()).order_by(Webhook.id)
    return list(db.scalars(statement))


def access_webhook(db: Session, actor: Actor, object_id: str) -> Webhook:
    """One of the actor's own; NotFound otherwise."""
    user_id = actor.require_user()
    if "\0" not in object_id:
        statement = select(Webhook).where(Webhook.object_id == object_id, Webhook.user_id == user_id)
        found = db.scalar(statement)
        if found is not None:
            return found
    raise NotFound(lazy("You have no webhook %(id)r.", id=object_id[:40]))


def list_deliveries(
    db: Session, webhook: Webhook, *, cursor: str | None = None, limit: int | None = None
) -> Page[WebhookDelivery]:
    """The log of a webhook, newest first."""
    size = check_limit(limit, default=20, maximum=100)
    statement = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook.id)
    after = decode_cursor(cursor, 1)
    if after is not None:
        statement = statement.where(WebhookDelivery.id < cursor_int(after[0]))
    rows = db.scalars(statement.order_by(WebhookDelivery.id.desc()).limit(size + 1))
    return make_page(list(rows), size, lambda row: [row.id])


def access_delivery(db: Session, webhook: Webhook, object_id: str) -> WebhookDelivery:
    """One line of the log; NotFound otherwise."""
    if "\0" not in object_id:
        found = db.scalar(
            select(WebhookDelivery).where(
                WebhookDelivery.object_id == object_id, WebhookDelivery.webhook_id == webhook.id
            )
        )
        if found is not None:
            return found
    raise NotFound(lazy("This webhook has no delivery %(id)r.", id=object_id[:40]))


def redeliver(db: Session, actor: Actor, webhook: Webhook, delivery: WebhookDelivery) -> WebhookDelivery:
    """Send the same body once more, to the present address, after whatever waits."""
    actor.check_account_write()
    if webhook.disabled_at is not None:
        raise Conflict(lazy("This webhook is switched off: switch it on first."))
    again = WebhookDelivery(
        object_id=new_object_id(),
        webhook_id=webhook.id,
        event_key=f"again:{new_object_id()}",
        event=delivery.event,
        body=delivery.body,
    )
    db.add(again)
    db.flush()
    return again
