"""News by mail: at once and in digests, each once, with a way out."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from sqlalchemy import select, update
from starlette.testclient import TestClient

from kit.browser import Browser
from kit.receivers import Mailbox
from llmos.core import clock
from llmos.features.accounts.models import User
from llmos.features.notifications import service
from llmos.features.notifications.digests import queue_digests
from llmos.features.notifications.models import Digest, Notification
from llmos.infra.queue.outbox import MAX_ATTEMPTS, MAX_DELAY_S, OutboxEvent

from .conftest import Stage

NOON = datetime(2030, 1, 7, 12, tzinfo=UTC)  # a Monday


def wish(stage: Stage, name: str, **modes: str) -> None:
    stage.write(lambda db: service.change_wishes(db, stage.users[name].id, modes))


def make_due(stage: Stage) -> None:
    soon = clock.now() - timedelta(seconds=1)
    stage.write(lambda db: db.execute(update(OutboxEvent).values(available_at=soon)))


def test_a_mention_comes_by_mail_in_the_readers_language(stage: Stage, mailbox: Mailbox) -> None:
    stage.write(lambda db: db.get_one(User, stage.users["grace"].id).__setattr__("locale", "zh"))
    thread_id = stage.thread(stage.repo(), "ada", "See <b>this</b>, @grace", title="Loss & NaN")
    stage.comment(thread_id, "ada", "And this.")
    stage.deliver()
    first, second = mailbox.mails
    assert first["To"] == "grace@example.org"
    assert first["Subject"] == "[ada/tiny-llm] Loss & NaN (#1)"
    assert "提到了您" in first.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    page = first.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert "See &lt;b&gt;this&lt;/b&gt;" in page
    assert "https://hub.example.org/ada/tiny-llm/discussions/1" in page
    assert second["In-Reply-To"] == second["References"] == first["Message-ID"]
    assert second["Message-ID"] != first["Message-ID"]


def test_one_click_ends_one_kind_of_mail(
    stage: Stage, mailbox: Mailbox, app_client: TestClient, browser: Browser
) -> None:
    repo_id = stage.repo()
    stage.thread(repo_id, "ada", "Hello @grace")
    stage.deliver()
    (mail,) = mailbox.mails
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    path = re.sub("^<https://[^/]+|>$", "", mail["List-Unsubscribe"].replace(" ", "").replace("\n", ""))
    asked = browser.get(path)
    assert (asked.status_code, "Mentions" in asked.text) == (200, True)
    assert service.get_wishes(stage.rt.database.read_session(), stage.users["grace"].id)["mention"] == "now"
    done = app_client.post(path, data={"List-Unsubscribe": "One-Click"})
    assert done.status_code == 200
    assert app_client.post(path, data={"List-Unsubscribe": "One-Click"}).status_code == 200
    stage.thread(repo_id, "ada", "Hello again @grace")
    stage.deliver()
    assert len(mailbox.mails) == 1
    for forged in (path[:-2], path + "x", "/-/unsubscribe/x.y", "/-/unsubscribe/%C3%A9"):
        assert app_client.post(forged).status_code == 404


def test_a_mail_server_that_is_down_gets_it_later_once(stage: Stage, mailbox: Mailbox) -> None:
    total_s = sum(min(2**attempt, MAX_DELAY_S) for attempt in range(1, MAX_ATTEMPTS))
    assert total_s > 2 * 24 * 3600, "a weekend"
    mailbox.is_down = True
    stage.thread(stage.repo(), "ada", "Hello @grace")
    stage.deliver()
    for _ in range(12):
        make_due(stage)
        stage.deliver()
    mailbox.is_down = False
    make_due(stage)
    stage.deliver()
    make_due(stage)
    stage.deliver()
    assert len(mailbox.mails) == 1


def test_what_was_read_or_forbidden_meanwhile_is_not_mailed(stage: Stage, mailbox: Mailbox) -> None:
    mailbox.is_down = True
    stage.thread(stage.repo(), "ada", "Hello @grace")
    stage.deliver()
    grace = stage.actor("grace")
    stage.write(lambda db: service.mark_all_read(db, grace))
    mailbox.is_down = False
    make_due(stage)
    stage.deliver()
    assert mailbox.mails == []


def test_unconfirmed_addresses_get_nothing(stage: Stage, mailbox: Mailbox) -> None:
    stage.write(lambda db: db.execute(update(User).values(email_verified_at=None)))
    stage.thread(stage.repo(), "ada", "Hello @grace")
    stage.deliver()
    assert mailbox.mails == []


def test_digests_come_once_each_period(stage: Stage, mailbox: Mailbox) -> None:
    wish(stage, "grace", mention="daily")
    repo_id = stage.repo()
    stage.thread(repo_id, "ada", "One for @grace", title="First")
    stage.thread(repo_id, "ada", "Two for @grace", title="Second")
    stage.deliver()
    stage.write(lambda db: db.execute(update(Notification).values(created_at=NOON - timedelta(days=1))))
    assert queue_digests(stage.rt, NOON) == 1
    assert queue_digests(stage.rt, NOON) == 0
    assert queue_digests(stage.rt, NOON + timedelta(hours=5)) == 0
    stage.deliver()
    (mail,) = mailbox.mails
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "2 news for you" in mail["Subject"]
    assert "First" in text
    assert "Second" in text
    stage.thread(repo_id, "ada", "Three for @grace", title="Third")
    stage.deliver()
    stage.write(
        lambda db: db.execute(
            update(Notification).where(Notification.mailed_at.is_(None)).values(created_at=NOON)
        )
    )
    assert queue_digests(stage.rt, NOON + timedelta(hours=2)) == 0, "it waits for tomorrow"
    assert queue_digests(stage.rt, NOON + timedelta(days=1)) == 1
    stage.deliver()
    assert "Third" in mailbox.mails[1].get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "First" not in mailbox.mails[1].get_body(("plain",)).get_content()  # type: ignore[union-attr]


def test_a_crash_while_digests_are_lined_up_loses_and_doubles_nothing(stage: Stage, mailbox: Mailbox) -> None:
    wish(stage, "grace", mention="weekly")
    stage.thread(stage.repo(), "ada", "One for @grace", title="First")
    stage.deliver()
    stage.write(lambda db: db.execute(update(Notification).values(created_at=NOON - timedelta(days=3))))
    from llmos.features.notifications import digests

    with stage.rt.database.write_session() as db:  # everything is written, but not committed
        start = digests.period_start("weekly", NOON)
        period = digests.period_of("weekly", NOON)
        assert digests._queue(db, stage.users["grace"].id, "weekly", period, start) == 1
        db.flush()
    with stage.rt.database.reading() as db:
        assert db.scalars(select(Digest)).all() == []
    assert queue_digests(stage.rt, NOON) == 1
    stage.deliver()
    assert len(mailbox.mails) == 1


def test_wishes_are_changed_on_their_page(stage: Stage, ada: Browser) -> None:
    page = ada.get("/settings/notifications")
    assert page.status_code == 200
    done = ada.post("/settings/notifications", "/settings/notifications", mail_watching="never")
    assert done.status_code == 303
    with stage.rt.database.reading() as db:
        wishes = service.get_wishes(db, stage.users["ada"].id)
    assert (wishes["watching"], wishes["mention"]) == ("never", "now")
    bad = ada.post("/settings/notifications", "/settings/notifications", mail_watching="hourly")
    assert bad.status_code == 400
