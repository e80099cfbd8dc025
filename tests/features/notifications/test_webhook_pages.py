"""The pages of webhooks."""

from __future__ import annotations

from collections.abc import Callable

from kit.browser import Browser
from kit.receivers import Receiver
from llmos.features.notifications.models import Webhook
from llmos.features.notifications.webhook_delivery import drain
from llmos.infra.runtime import Runtime

from .conftest import Stage

PAGE = "/settings/webhooks"


def test_a_webhook_from_setting_up_to_deleting(
    open_rt: Runtime, stage: Stage, ada: Browser, receiver: Receiver
) -> None:
    open_rt.settings.webhook_allow_private = "127.0.0.0/8"
    stage.rt.settings.webhook_allow_private = "127.0.0.0/8"
    repo_id = stage.repo()
    made = ada.post(
        PAGE, PAGE, url=receiver.url, watched="model:ada/tiny-llm\nuser:grace", domains="discussion"
    )
    assert made.status_code == 303
    one = made.headers["location"]
    assert "ada/tiny-llm" in ada.get(PAGE).text
    stage.thread(repo_id, "grace", "<script>alert(1)</script>")
    stage.deliver()
    with stage.rt.database.reading() as db:
        webhook = db.query(Webhook).one()
    receiver.statuses = [200]
    assert drain(open_rt, webhook.id) == 1
    page = ada.get(one).text
    assert "discussion.create" in page
    assert "<script>alert" not in page
    delivery = page.split('name="id" value="')[1].split('"')[0]
    assert ada.post(f"{one}/redeliver", one, id=delivery).status_code == 303
    assert ada.post(f"{one}/switch", one, on="0").status_code == 303
    assert "Switched off" in ada.get(one).text
    assert ada.post(f"{one}/redeliver", one, id=delivery).status_code == 409
    bad = ada.post(one, one, url="http://10.0.0.1/", watched="user:ada", domains="repo")
    assert (bad.status_code, "private address" in bad.text) == (400, True)
    assert ada.post(f"{one}/delete", one).status_code == 303
    assert ada.get(one).status_code == 404


def test_mistakes_are_named_and_kept(stage: Stage, ada: Browser) -> None:
    for watched, words in (
        ("ada", "type:name"),
        ("user:nobody", "nobody"),
        ("shoe:ada", "must be one of"),
        ("", "empty"),
    ):
        page = ada.post(PAGE, PAGE, url="https://example.org/hook", watched=watched, domains="repo")
        assert page.status_code in (400, 404)
        assert words in page.text
        assert "https://example.org/hook" in page.text


def test_nobody_sees_anothers_webhook(
    stage: Stage, ada: Browser, browser: Browser, open_browser: Callable[[], Browser]
) -> None:
    made = ada.post(PAGE, PAGE, url="https://example.org/", watched="user:ada", domains="repo")
    one = made.headers["location"]
    grace = open_browser()
    grace.sign_in("grace")
    assert grace.get(one).status_code == 404
    assert grace.post(f"{one}/delete").status_code == 404
    assert browser.get(one).status_code == 303
    forged = ada.client.post(f"{one}/delete", data={}, headers={"origin": "https://evil.example"})
    assert forged.status_code == 403
