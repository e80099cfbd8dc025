"""Webhooks by the official client."""

from __future__ import annotations

import httpx
import pytest
from huggingface_hub import HfApi, WebhookPayload, WebhookWatchedItem
from huggingface_hub.errors import HfHubHTTPError

from kit.receivers import http_receiver
from llmos.app.tasks import periodic_tasks
from llmos.features.notifications.models import Webhook
from llmos.features.notifications.webhook_delivery import drain
from llmos.infra.queue.outbox import deliver_due
from llmos.infra.runtime import Runtime

WATCHED = [WebhookWatchedItem(type="user", name="ada"), WebhookWatchedItem(type="org", name="lab")]
URL = "https://example.org/hook?secret=1"


def test_every_call_of_the_client(ada: HfApi, grace: HfApi) -> None:
    made = ada.create_webhook(url=URL, watched=WATCHED, domains=["repo"], secret="s3cret")
    assert (made.url, made.watched, made.domains) == (URL, WATCHED, ["repo"])
    assert (made.secret, made.disabled, made.job) == ("s3cret", False, None)
    assert ada.get_webhook(made.id) == made
    assert made in ada.list_webhooks()
    assert made.id not in [found.id for found in grace.list_webhooks()]
    assert ada.disable_webhook(made.id).disabled
    assert not ada.enable_webhook(made.id).disabled
    other = [{"type": "user", "name": "grace"}]
    new_url = "https://example.org/2"
    changed = ada.update_webhook(made.id, url=new_url, watched=other, domains=["discussion"])
    assert [item.name for item in changed.watched] == ["grace"]
    assert (changed.url, changed.domains, changed.secret) == (new_url, ["discussion"], "s3cret")
    # The client sends an empty list where nobody gave one.
    assert ada.update_webhook(made.id, secret="new").watched == changed.watched
    with pytest.raises(HfHubHTTPError) as refused:
        grace.get_webhook(made.id)
    assert refused.value.response.status_code == 404
    ada.delete_webhook(made.id)
    with pytest.raises(HfHubHTTPError) as gone:
        ada.get_webhook(made.id)
    assert gone.value.response.status_code == 404


def test_a_commit_reaches_the_receiver(ada: HfApi, repo: object, server_rt: Runtime) -> None:
    periodic_tasks()
    name: str = repo()  # type: ignore[operator]
    server_rt.settings.webhook_allow_private = "127.0.0.0/8"
    made = ada.create_webhook(url=URL, watched=[{"type": "model", "name": name}])
    with http_receiver() as receiver:
        with server_rt.database.writing() as db:
            webhook = db.query(Webhook).filter_by(object_id=made.id).one()
            webhook.url = receiver.url  # the server itself would refuse to note it
        commit = ada.upload_file(path_or_fileobj=b"hello", path_in_repo="hello.txt", repo_id=name)
        while deliver_due(server_rt.database, side="inside"):
            pass
        drain(server_rt, webhook.id)
        payloads = [WebhookPayload(**call.json) for call in receiver.calls]
    pushed = [found for found in payloads if found.event.scope == "repo.content"][-1]
    assert (pushed.repo.name, pushed.repo.type) == (name, "model")
    assert pushed.updatedRefs is not None
    assert (pushed.updatedRefs[0].ref, pushed.updatedRefs[0].newSha) == ("refs/heads/main", commit.oid)
    assert (pushed.webhook.id, pushed.webhook.version) == (made.id, 3)
    ada.delete_webhook(made.id)


@pytest.mark.parametrize(
    ("change", "words", "status"),
    [
        ({"url": "http://127.0.0.1:1/"}, "private address", 400),
        ({"url": "http://[::ffff:10.0.0.1]/"}, "private address", 400),
        ({"url": "file:///etc/passwd"}, "url must begin", 400),
        ({"url": 5}, "url is missing", 400),
        ({"watched": []}, "watched is empty", 400),
        ({"watched": "ada"}, "watched is missing", 400),
        ({"watched": [{"type": "shoe", "name": "ada"}]}, "type must be one of", 400),
        ({"watched": [{"type": "user", "name": "nobody-here"}]}, "nobody called", 404),
        ({"watched": [{"type": "model", "name": "ada"}]}, "namespace/name", 400),
        ({"watched": [{"type": "user", "name": "ada"}] * 201}, "at most", 400),
        ({"domains": ["weather"]}, "domains may hold", 400),
        ({"domains": [1]}, "domains must hold texts", 400),
        ({"secret": "a b\r\nX-Evil: 1"}, "secret may hold", 400),
        ({"secret": 7}, "secret must be a text", 400),
        ({"jobSourceId": "1"}, "jobs", 501),
    ],
)
def test_mistakes_are_named(as_ada: httpx.Client, change: dict[str, object], words: str, status: int) -> None:
    body = {"url": URL, "watched": [{"type": "user", "name": "ada"}], "domains": ["repo"]} | change
    answer = as_ada.post("/api/settings/webhooks", json=body)
    assert answer.status_code == status
    assert words in answer.json()["error"]


def test_visitors_have_no_webhooks(http: httpx.Client) -> None:
    assert http.get("/api/settings/webhooks").status_code == 401
    assert http.post("/api/settings/webhooks", json={}).status_code == 401
    assert http.delete("/api/settings/webhooks/0").status_code == 401
