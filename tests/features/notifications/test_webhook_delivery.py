"""Webhooks: what is sent, in which order, how often, and where never."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from datetime import timedelta
from typing import Any

import pytest
from huggingface_hub import WebhookPayload
from sqlalchemy import func, insert, select, update

from kit.receivers import Receiver
from llmos.core import clock
from llmos.core.errors import BadRequest
from llmos.core.ids import new_object_id
from llmos.features.accounts.actor import Actor
from llmos.features.notifications import webhooks
from llmos.features.notifications.models import Notification, Webhook, WebhookDelivery
from llmos.features.notifications.webhook_delivery import DELAYS_S, Courier, drain
from llmos.features.notifications.webhook_events import MAX_PENDING
from llmos.features.notifications.webhooks import Watched
from llmos.features.repos.access_settings import update_settings
from llmos.features.repos.lifecycle import delete_repo
from llmos.features.repos.models import Repo
from llmos.features.repos.moving import move_repo
from llmos.infra import http_out
from llmos.infra.queue.outbox import OutboxEvent
from llmos.infra.runtime import Runtime

from .conftest import Stage


def hook(rt: Runtime, actor: Actor, url: str, *watched: tuple[str, str], **options: Any) -> int:
    with rt.database.writing() as db:
        items = [Watched(*item) for item in watched or [("user", "ada")]]
        return webhooks.create_webhook(db, actor, rt.settings, url=url, watched=items, **options).id


def make_due(rt: Runtime) -> None:
    with rt.database.writing() as db:
        db.execute(update(WebhookDelivery).values(next_at=clock.now() - timedelta(seconds=1)))


def deliveries(rt: Runtime) -> list[WebhookDelivery]:
    with rt.database.reading() as db:
        return list(db.scalars(select(WebhookDelivery).order_by(WebhookDelivery.id)))


def test_the_payloads_are_those_the_client_parses(open_rt: Runtime, stage: Stage, receiver: Receiver) -> None:
    webhook_id = hook(open_rt, stage.actor("ada"), f"{receiver.url}/hook", secret="s3cret")
    repo_id = stage.repo()
    thread_id = stage.thread(repo_id, "grace", "It is NaN after 100 steps.")
    stage.comment(thread_id, "ada", "Try a lower rate.")
    with open_rt.database.writing() as db:
        repo = db.get_one(Repo, repo_id)
        update_settings(db, stage.actor("ada"), repo, visibility="private")
        move_repo(db, stage.actor("ada"), repo, "ada/small-llm")
    stage.deliver()
    with open_rt.database.writing() as db:
        delete_repo(db, stage.actor("ada"), db.get_one(Repo, repo_id))
    stage.deliver()
    assert drain(open_rt, webhook_id) == 6
    bodies = [call.json for call in receiver.calls]
    assert [(body["event"]["scope"], body["event"]["action"]) for body in bodies] == [
        ("repo", "create"),
        ("discussion", "create"),
        ("discussion.comment", "create"),
        ("repo.config", "update"),
        ("repo", "move"),
        ("repo", "delete"),
    ]
    parsed = [WebhookPayload(**body) for body in bodies]
    assert bodies[0]["repo"]["headSha"]
    assert parsed[1].discussion is not None
    assert (parsed[1].discussion.num, parsed[1].discussion.title) == (1, "Loss is NaN")
    assert parsed[1].comment is not None
    assert parsed[1].comment.content == "It is NaN after 100 steps."
    assert bodies[3]["updatedConfig"] == {"private": True}
    assert parsed[4].movedTo is not None
    assert (parsed[4].repo.name, parsed[4].movedTo.name) == ("ada/tiny-llm", "ada/small-llm")
    headers = receiver.calls[0].headers
    assert headers["x-webhook-secret"] == "s3cret"
    at, mac = (part.split("=")[1] for part in headers["x-llmos-signature"].split(","))
    signed = at.encode() + b"." + receiver.calls[0].body
    assert mac == hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest()


def test_an_event_that_is_handled_twice_is_sent_once(
    open_rt: Runtime, stage: Stage, receiver: Receiver
) -> None:
    webhook_id = hook(open_rt, stage.actor("ada"), receiver.url)
    stage.repo()
    with open_rt.database.reading() as db:
        event = db.scalars(select(OutboxEvent).where(OutboxEvent.topic == "RepoCreated")).one()
    stage.deliver()
    with open_rt.database.writing() as db:  # as after a crash right before the row was removed
        db.add(
            OutboxEvent(id=event.id, topic=event.topic, payload=event.payload, created_at=event.created_at)
        )
    stage.deliver()
    drain(open_rt, webhook_id)
    drain(open_rt, webhook_id)
    assert len(receiver.calls) == 1


def test_what_does_not_get_through_is_tried_again_in_order(
    open_rt: Runtime, stage: Stage, receiver: Receiver
) -> None:
    webhook_id = hook(open_rt, stage.actor("ada"), receiver.url)
    stage.repo("first")
    stage.repo("second")
    stage.deliver()
    receiver.statuses = [500, 302]
    assert drain(open_rt, webhook_id) == 0
    assert drain(open_rt, webhook_id) == 0, "it waits for its time"
    first, second = deliveries(open_rt)
    assert (first.status, first.attempts, first.response_status) == ("pending", 1, 500)
    assert (first.response_excerpt, second.attempts) == ("seen", 0)
    assert first.next_at > clock.now()
    make_due(open_rt)
    assert drain(open_rt, webhook_id) == 0
    assert "redirect" in deliveries(open_rt)[0].error
    make_due(open_rt)
    assert drain(open_rt, webhook_id) == 2
    names = [call.json["repo"]["name"] for call in receiver.calls]
    assert names == ["ada/first", "ada/first", "ada/first", "ada/second"]
    assert all(call.path == "/" for call in receiver.calls)
    ids = {call.headers["x-llmos-delivery"] for call in receiver.calls[:3]}
    assert len(ids) == 1


def test_after_a_day_of_failures_it_is_switched_off_and_its_owner_told(
    open_rt: Runtime, stage: Stage, receiver: Receiver
) -> None:
    assert 3600 < sum(DELAYS_S) < 26 * 3600
    webhook_id = hook(open_rt, stage.actor("ada"), receiver.url)
    stage.repo()
    stage.deliver()
    receiver.statuses = [503] * (len(DELAYS_S) + 1)
    for _ in range(len(DELAYS_S) + 1):
        make_due(open_rt)
        assert drain(open_rt, webhook_id) == 0
    assert deliveries(open_rt)[0].status == "failed"
    with open_rt.database.reading() as db:
        assert db.get_one(Webhook, webhook_id).disabled_at is not None
        told = db.scalars(select(Notification).where(Notification.kind == "webhook.off")).one()
    assert told.user_id == stage.users["ada"].id
    stage.repo("later")
    stage.deliver()
    assert len(deliveries(open_rt)) == 1


def test_one_for_which_too_much_waits_is_switched_off_and_its_owner_told(
    open_rt: Runtime, stage: Stage, receiver: Receiver
) -> None:
    webhook_id = hook(open_rt, stage.actor("ada"), receiver.url)
    waiting = {"webhook_id": webhook_id, "event": "repo.create", "body": b"{}", "next_at": clock.now()}
    with open_rt.database.writing() as db:
        rows = [
            waiting | {"object_id": new_object_id(), "event_key": f"k:{number}"}
            for number in range(MAX_PENDING)
        ]
        db.execute(insert(WebhookDelivery), rows)
    stage.repo()
    stage.deliver()
    with open_rt.database.reading() as db:
        assert db.get_one(Webhook, webhook_id).disabled_at is not None
        told = db.scalars(select(Notification).where(Notification.kind == "webhook.full")).one()
        assert db.scalar(select(func.count()).select_from(WebhookDelivery)) == MAX_PENDING
    assert told.user_id == stage.users["ada"].id


def test_a_slow_receiver_holds_up_only_itself(open_rt: Runtime, stage: Stage, receiver: Receiver) -> None:
    from kit.receivers import http_receiver

    with http_receiver() as slow:
        slow.gate.clear()
        hook(open_rt, stage.actor("grace"), slow.url)
        hook(open_rt, stage.actor("ada"), receiver.url)
        stage.repo()
        stage.deliver()
        courier = Courier()
        assert courier(open_rt) == 2
        assert receiver.arrived.acquire(timeout=10), "the quick one is not held up"
        assert slow.arrived.acquire(timeout=10)
        assert courier(open_rt) == 0, "nobody is called twice at once"
        slow.gate.set()
        assert courier._executor is not None
        courier._executor.shutdown(wait=True)
    assert [row.status for row in deliveries(open_rt)] == ["delivered", "delivered"]


def test_private_repositories_stay_private(open_rt: Runtime, stage: Stage, receiver: Receiver) -> None:
    hook(open_rt, stage.actor("grace"), receiver.url)
    own = hook(open_rt, stage.actor("ada"), receiver.url)
    repo_id = stage.repo(visibility="private")
    stage.thread(repo_id, "ada", "A secret plan")
    with open_rt.database.writing() as db:
        delete_repo(db, stage.actor("ada"), db.get_one(Repo, repo_id))
    stage.deliver()
    assert {row.webhook_id for row in deliveries(open_rt)} <= {own}


def test_one_may_send_again_by_hand(open_rt: Runtime, stage: Stage, receiver: Receiver) -> None:
    webhook_id = hook(open_rt, stage.actor("ada"), receiver.url, ("user", "ada"), domains=["repo"])
    thread_id = stage.thread(stage.repo(), "ada", "Not of this domain")
    assert thread_id
    stage.deliver()
    assert drain(open_rt, webhook_id) == 1
    with open_rt.database.writing() as db:
        webhook = db.get_one(Webhook, webhook_id)
        delivery = webhooks.list_deliveries(db, webhook).items[0]
        webhooks.redeliver(db, stage.actor("ada"), webhook, delivery)
    assert drain(open_rt, webhook_id) == 1
    assert receiver.calls[0].body == receiver.calls[1].body
    delivered = {call.headers["x-llmos-delivery"] for call in receiver.calls}
    assert len(delivered) == 2


PRIVATE = (
    "127.0.0.1 127.8.8.8 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 0.0.0.0 100.64.0.1 224.0.0.1 "
    "255.255.255.255 192.0.2.1 198.18.0.1 240.0.0.1 ::1 :: fe80::1 fc00::1 fd12::1 ff02::1 "
    "::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 2002:7f00:1:: 2001:db8::1"
).split()


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_refused(address: str) -> None:
    assert not http_out.is_allowed(ipaddress.ip_address(address))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(BadRequest, match="private"):
        http_out.check_url(f"http://{host}/hook")


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07::1", "64:ff9b::5db8:d70e"])
def test_public_addresses_are_not(address: str) -> None:
    assert http_out.is_allowed(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/", "javascript:alert(1)", "http://", "https://ada:pw@example.org/",
        "//example.org", "http://example.org:99999/", "http://exa mple.org/", "http://[::1",
        "http://例.org/", "http://x/" + "a" * 2000,
    ],
)  # fmt: skip
def test_malformed_addresses_are_refused(url: str) -> None:
    with pytest.raises(BadRequest, match="url"):
        http_out.check_url(url)


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f.1", "017700000001"])
def test_a_name_that_leads_home_is_refused_when_called(
    rt: Runtime, stage: Stage, receiver: Receiver, host: str
) -> None:
    """The check at creation sees only a name; the one before connecting sees where it leads."""
    port = receiver.url.rsplit(":", 1)[1]
    webhook_id = hook(rt, stage.actor("ada"), f"http://{host}:{port}/")
    stage.repo()
    stage.deliver()
    drain(rt, webhook_id)
    (row,) = deliveries(rt)
    assert row.status == "pending"
    assert "private" in row.error or "not found" in row.error
    assert receiver.calls == []


def test_a_receiver_that_never_ends_is_cut_off(receiver: Receiver) -> None:
    receiver.gate.clear()
    allowed = http_out.parse_networks("127.0.0.0/8")
    with pytest.raises(http_out.RequestFailed, match="within"):
        http_out.post(receiver.url, b"{}", {}, timeout_s=0.3, allowed=allowed)
    receiver.gate.set()
