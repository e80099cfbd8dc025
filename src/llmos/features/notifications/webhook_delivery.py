"""Sending what is lined up: in order for each webhook, side by side for different ones.

A delivery that does not get through is tried again for about a day, and the later ones of the
same webhook wait behind it; then it counts as failed and the webhook is switched off.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.features.notifications.models import Webhook, WebhookDelivery
from llmos.features.notifications.reasons import WEBHOOK
from llmos.features.notifications.service import News, notify
from llmos.infra.http_out import Answer, RequestFailed, parse_networks, post
from llmos.infra.runtime import Runtime

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
DELAYS_S = (5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800, 28_800)
EXCERPT_CHARS = 2000
KEEP_LOG = timedelta(days=14)
_CLAIM = timedelta(seconds=60)
_MAX_AT_ONCE = 8
_MAX_OF_ONE_PERSON = 2
_MAX_IN_A_ROW = 50


class Courier:
    """Hands due webhooks to threads; slow receivers hold up only themselves.

    One person's webhooks take at most two of the threads.
    """

    def __init__(self, executor: Executor | None = None) -> None:
        self._executor = executor
        self._busy: dict[int, int] = {}
        self._lock = threading.Lock()

    @property
    def is_busy(self) -> bool:
        return bool(self._busy)

    def __call__(self, rt: Runtime) -> int:
        """Start what is due and not under way; how many webhooks that were."""
        started = 0
        for webhook_id, user_id in _due(rt):
            with self._lock:
                own = sum(1 for owner in self._busy.values() if owner == user_id)
                if webhook_id in self._busy or own >= _MAX_OF_ONE_PERSON or len(self._busy) >= _MAX_AT_ONCE:
                    continue
                self._busy[webhook_id] = user_id
            if self._executor is None:
                self._executor = ThreadPoolExecutor(_MAX_AT_ONCE, "webhook")
            self._executor.submit(self._run, rt, webhook_id).add_done_callback(_log_error)
            started += 1
        return started

    def _run(self, rt: Runtime, webhook_id: int) -> None:
        try:
            drain(rt, webhook_id)
        finally:
            with self._lock:
                del self._busy[webhook_id]


def _log_error(done: Future[None]) -> None:
    error = done.exception()
    if error is not None:
        log.error("delivery of webhooks failed", exc_info=error)


def _due(rt: Runtime) -> list[tuple[int, int]]:
    heads = (
        select(func.min(WebhookDelivery.id).label("id"))
        .where(WebhookDelivery.status == "pending")
        .group_by(WebhookDelivery.webhook_id)
        .subquery()
    )
    statement = (
        select(Webhook.id, Webhook.user_id)
        .join(WebhookDelivery, WebhookDelivery.webhook_id == Webhook.id)
        .join(heads, heads.c.id == WebhookDelivery.id)
        .where(WebhookDelivery.next_at <= clock.now(), Webhook.disabled_at.is_(None))
        .order_by(WebhookDelivery.next_at)
        .limit(200)
    )
    with rt.database.reading() as db:
        return [(row[0], row[1]) for row in db.execute(statement)]


def next_delivery_at(db: Session) -> datetime | None:
    """When the next webhook is to be called (again); None where none waits."""
    statement = select(func.min(WebhookDelivery.next_at)).join(Webhook)
    return db.scalar(statement.where(WebhookDelivery.status == "pending", Webhook.disabled_at.is_(None)))


def drain(rt: Runtime, webhook_id: int) -> int:
    """Send what waits for one webhook until one does not get through; how many did."""
    sent = 0
    while sent < _MAX_IN_A_ROW and _deliver_next(rt, webhook_id):
        sent += 1
    return sent


def _deliver_next(rt: Runtime, webhook_id: int) -> bool:
    with rt.database.writing() as db:
        found = _claim(db, webhook_id)
    if found is None:
        return False
    webhook, delivery = found
    answer: Answer | None = None
    error = ""
    try:
        allowed = parse_networks(rt.settings.webhook_allow_private)
        headers = request_headers(webhook, delivery)
        answer = post(webhook.url, delivery.body, headers, timeout_s=TIMEOUT_S, allowed=allowed)
    except RequestFailed as failure:
        error = str(failure)
    with rt.database.writing() as db:
        return _record(db, delivery.id, answer, error)


def _claim(db: Session, webhook_id: int) -> tuple[Webhook, WebhookDelivery] | None:
    """The oldest waiting delivery, if it is due, for the time one attempt may take."""
    now = clock.now()
    webhook = db.get(Webhook, webhook_id)
    if webhook is None or webhook.disabled_at is not None:
        return None
    statement = select(WebhookDelivery).where(
        WebhookDelivery.webhook_id == webhook_id, WebhookDelivery.status == "pending"
    )
    delivery = db.scalar(statement.order_by(WebhookDelivery.id).limit(1))
    if delivery is None:
        return None
    taken = db.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.id == delivery.id, WebhookDelivery.next_at <= now)
        .values(next_at=now + _CLAIM)
        .returning(WebhookDelivery.id)
    ).first()
    return (webhook, delivery) if taken is not None else None


def request_headers(webhook: Webhook, delivery: WebhookDelivery) -> dict[str, str]:
    """Headers of one delivery. `X-LLMOS-Delivery` is the same at every attempt.

    With a secret: as it is in `X-Webhook-Secret`, as the Hub sends it, and
    `X-LLMOS-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">`.
    """
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "LLMOS-Webhook",
        "X-LLMOS-Event": delivery.event,
        "X-LLMOS-Delivery": delivery.object_id,
    }
    if webhook.secret:
        at = str(int(time.time()))
        mac = hmac.digest(webhook.secret.encode(), at.encode() + b"." + delivery.body, hashlib.sha256)
        headers["X-Webhook-Secret"] = webhook.secret
        headers["X-LLMOS-Signature"] = f"t={at},v1={mac.hex()}"
    return headers


def _record(db: Session, delivery_id: int, answer: Answer | None, error: str) -> bool:
    """Write the attempt into the log; whether it got through."""
    delivery = db.get(WebhookDelivery, delivery_id)
    if delivery is None or delivery.status != "pending":
        return False
    webhook = db.get_one(Webhook, delivery.webhook_id)
    now = clock.now()
    is_ok = answer is not None and 200 <= answer.status < 300
    delivery.attempts += 1
    delivery.attempted_at = now
    delivery.error = error[:500]
    if answer is not None:
        delivery.response_status, delivery.took_ms = answer.status, answer.took_ms
        text = answer.body.decode("utf-8", "replace").replace("\0", "\ufffd")
        delivery.response_excerpt = text[:EXCERPT_CHARS]
        if 300 <= answer.status < 400:
            delivery.error = "The answer is a redirect, which is not followed: give the final address."
    else:
        delivery.response_status, delivery.response_excerpt = None, ""
    if is_ok:
        delivery.status = "delivered"
        webhook.failing_since = None
        return True
    webhook.failing_since = webhook.failing_since or now
    if delivery.attempts <= len(DELAYS_S):
        delivery.next_at = now + timedelta(seconds=DELAYS_S[delivery.attempts - 1])
    else:
        delivery.status = "failed"
        switch_off(db, webhook, "webhook.off", delivery.object_id)
    return False


def switch_off(db: Session, webhook: Webhook, kind: str, key: str) -> None:
    """Send nothing more until its owner, who is told, switches it on; `key` names the occasion."""
    webhook.disabled_at = clock.now()
    log.info("webhook %s switched off: %s", webhook.object_id, kind)
    news = News(
        kind=kind,
        event_key=f"webhook:{key}",
        title=webhook.url[:200],
        href=f"/settings/webhooks/{webhook.object_id}",
    )
    notify(db, {webhook.user_id: WEBHOOK}, news)


def forget_old_deliveries(rt: Runtime) -> None:
    """Shorten the log: what is done and older than KEEP_LOG goes."""
    with rt.database.writing() as db:
        db.execute(
            delete(WebhookDelivery).where(
                WebhookDelivery.status != "pending",
                WebhookDelivery.created_at < clock.now() - KEEP_LOG,
            )
        )
