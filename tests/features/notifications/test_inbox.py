"""Who is told of what, and what their inbox shows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from kit.browser import Browser
from llmos.core import clock
from llmos.features.accounts.models import Membership, User
from llmos.features.accounts.organizations import create_org
from llmos.features.discussions.models import Comment, Thread
from llmos.features.notifications import queries, service, watching
from llmos.features.notifications.mentions import find_mentions
from llmos.features.notifications.models import Notification
from llmos.features.repos.access_settings import update_settings
from llmos.features.repos.models import Repo
from llmos.infra.queue.outbox import OutboxEvent, emit

from .conftest import Stage


def told(stage: Stage, name: str) -> list[tuple[str, str]]:
    """(reason, kind) of a person's news, oldest first."""
    with stage.rt.database.reading() as db:
        statement = select(Notification).where(Notification.user_id == stage.users[name].id)
        return [(row.reason, row.kind) for row in db.scalars(statement.order_by(Notification.id))]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Hello @ada and @Grace.", ["ada", "grace"]),
        ("@ada @ada @ADA", ["ada"]),
        ("`@ada` and\n\n```\n@grace\n```\n\n    @bob", []),
        ("> @ada said so\n\nI disagree, @grace", ["grace"]),
        ("ada@example.org, x/@ada, [@ada](http://x), <http://x/@ada>", []),
        ("(@ada), **@grace**, ~@lab~", ["ada", "grace", "lab"]),
        ("你好@ada", []),
        ("你好 @ada，谢谢", ["ada"]),
        ("@" * 1000 + " @-x @ada-", ["ada"]),
    ],
)
def test_mentions_are_found_in_words_only(text: str, names: list[str]) -> None:
    assert find_mentions(text) == names


def test_everybody_is_told_once_for_the_strongest_reason(stage: Stage) -> None:
    thread_id = stage.thread(stage.repo(), "grace", "It is NaN. @root-admin?")
    stage.deliver()
    assert told(stage, "ada") == [("watching", "opened.discussion")], "she owns the repository"
    assert told(stage, "root-admin") == [("mention", "opened.discussion")]
    stage.comment(thread_id, "ada", "Have you tried another seed, @grace?")
    stage.comment(thread_id, "grace", "Yes.")
    stage.deliver()
    assert told(stage, "grace") == [("mention", "comment")], "never of one's own words"
    assert told(stage, "ada")[1:] == [("reply", "comment")]
    assert told(stage, "root-admin")[1:] == [("reply", "comment")] * 2, "a mention is taking part"


def test_a_repeated_event_tells_nobody_twice(stage: Stage) -> None:
    thread_id = stage.thread(stage.repo(), "grace", "It is NaN.")
    payload = {"thread_id": thread_id, "actor_id": stage.users["grace"].id, "old": "open", "new": "closed"}
    stage.write(lambda db: emit(db, "ThreadStatusChanged", payload))
    with stage.rt.database.reading() as db:
        events = list(db.scalars(select(OutboxEvent).order_by(OutboxEvent.id)))
    stage.deliver()
    first = told(stage, "ada")
    assert first == [("watching", "opened.discussion"), ("watching", "status.closed")]
    for event in events:  # as after a crash right before the rows were removed
        row = {key: getattr(event, key) for key in ("id", "topic", "payload", "created_at")}
        stage.write(lambda db, row=row: db.add(OutboxEvent(**row)))
    stage.deliver()
    assert told(stage, "ada") == first
    stage.write(lambda db: emit(db, "ThreadStatusChanged", payload))
    stage.deliver()
    assert len(told(stage, "ada")) == 3, "another closing is other news"


def test_an_edit_tells_only_who_is_newly_mentioned(stage: Stage) -> None:
    thread_id = stage.thread(stage.repo(), "ada", "Release notes")
    comment_id = stage.comment(thread_id, "ada", "Thanks, @grace")
    stage.deliver()

    def edit(db: Session) -> None:
        db.get_one(Comment, comment_id).text = "Thanks, @grace and @root-admin"
        payload = {"thread_id": thread_id, "comment_id": comment_id, "actor_id": stage.users["ada"].id}
        emit(db, "CommentEdited", payload)

    stage.write(edit)
    stage.deliver()
    assert told(stage, "grace") == [("mention", "comment")]
    assert told(stage, "root-admin") == [("mention", "comment")]


def test_levels_decide(stage: Stage) -> None:
    repo_id = stage.repo()
    grace, ada = stage.actor("grace"), stage.actor("ada")
    stage.write(lambda db: watching.set_repo_level(db, grace, db.get(Repo, repo_id), "watching"))
    stage.write(lambda db: watching.set_repo_level(db, ada, db.get(Repo, repo_id), "muted"))
    thread_id = stage.thread(repo_id, "root-admin", "News for @ada")
    stage.deliver()
    assert told(stage, "grace") == [("watching", "opened.discussion")]
    assert told(stage, "ada") == [], "muted is muted"
    stage.write(lambda db: watching.set_thread_level(db, grace, db.get(Thread, thread_id), "muted"))
    stage.comment(thread_id, "root-admin", "More")
    stage.deliver()
    assert len(told(stage, "grace")) == 1


def test_a_whole_namespace_can_be_watched(stage: Stage) -> None:
    grace = stage.actor("grace")
    namespace = stage.users["ada"].namespace
    stage.write(lambda db: watching.set_namespace_level(db, grace, namespace, "watching"))
    stage.thread(stage.repo(), "root-admin", "One")
    stage.deliver()
    assert told(stage, "grace") == [("watching", "opened.discussion")]
    stage.write(lambda db: watching.set_namespace_level(db, grace, namespace, "participating"))
    stage.thread(stage.repo("other"), "root-admin", "Two")
    stage.deliver()
    assert len(told(stage, "grace")) == 1


def test_what_is_private_is_told_only_to_who_may_see_it(stage: Stage) -> None:
    repo_id = stage.repo(visibility="private")
    stage.thread(repo_id, "ada", "A plan for @grace and @root-admin")
    stage.deliver()
    assert told(stage, "grace") == []
    assert told(stage, "root-admin") == [("mention", "opened.discussion")]


def test_what_became_private_leaves_the_inbox(stage: Stage) -> None:
    repo_id = stage.repo()
    stage.thread(repo_id, "ada", "For @grace", title="A secret name")
    stage.deliver()
    ada, grace = stage.actor("ada"), stage.actor("grace")
    stage.write(lambda db: update_settings(db, ada, db.get(Repo, repo_id), visibility="private"))
    with stage.rt.database.reading() as db:
        assert queries.list_notifications(db, grace).items == []
    stage.deliver()
    with stage.rt.database.reading() as db:
        assert queries.count_unread(db, stage.users["grace"].id) == 0


def test_an_organisation_is_mentioned_by_its_members_and_by_others(stage: Stage) -> None:
    ada = stage.actor("ada")

    def found(db: Session) -> None:
        org = create_org(db, ada, name="lab", owner=db.get_one(User, stage.users["ada"].id))
        db.add(Membership(org_id=org.id, user_id=stage.users["grace"].id, role="read"))

    stage.write(found)
    repo_id = stage.repo()
    stage.thread(repo_id, "ada", "To all of @lab")
    stage.thread(repo_id, "root-admin", "A question for @lab")
    stage.deliver()
    assert told(stage, "grace") == [("mention", "opened.discussion")], "only the member's reaches members"
    assert told(stage, "ada") == [("mention", "opened.discussion")]


def test_access_and_follows_are_news(stage: Stage) -> None:
    repo_id = stage.repo()
    ids = {name: user.id for name, user in stage.users.items()}

    def happen(db: Session) -> None:
        emit(db, "UserFollowed", {"follower_id": ids["grace"], "namespace_id": ids["ada"]})
        asked = {"repo_id": repo_id, "user_id": ids["grace"], "status": "pending"}
        emit(db, "AccessRequested", asked)
        emit(db, "AccessHandled", asked | {"status": "accepted"})

    stage.write(happen)
    stage.write(happen)
    stage.deliver()
    assert told(stage, "ada") == [
        ("follow", "followed"),
        ("access", "access.asked"),
        ("access", "access.asked"),
    ]
    assert told(stage, "grace") == [("access", "access.accepted")] * 2


def test_the_inbox_shows_reads_and_filters(stage: Stage, ada: Browser) -> None:
    repo_id = stage.repo()
    assert "Nothing unread" in ada.get("/notifications").text
    for number in range(3):
        stage.thread(repo_id, "grace", "Text", title=f"Question <{number}>")
    stage.thread(stage.repo("other"), "grace", "Text", title="Elsewhere")
    stage.deliver()
    page = ada.get("/notifications").text
    assert "Question &lt;2&gt;" in page
    assert 'data-unread="4"' in page
    assert "Elsewhere" not in ada.get(f"/notifications?repo={repo_id}").text
    with stage.rt.database.reading() as db:
        first = db.scalars(select(Notification).order_by(Notification.id)).first()
    assert first is not None
    opened = ada.get(f"/notifications/{first.id}")
    assert (opened.status_code, opened.headers["location"]) == (303, "/ada/tiny-llm/discussions/1")
    assert 'data-unread="3"' in ada.get("/notifications").text
    actor = stage.actor("ada")
    stage.write(lambda db: service.mark_thread_read(db, actor, first.thread_id + 1))
    assert 'data-unread="2"' in ada.get("/notifications").text
    ada.post("/notifications", "/notifications", all="1", up_to=str(first.id + 2))
    assert 'data-unread="1"' in ada.get("/notifications").text, "what was not shown stays unread"
    assert "Question &lt;0&gt;" in ada.get("/notifications?show=all").text
    for bad in ("repo=x", "cursor=%00", "cursor=abc", f"repo={'9' * 30}"):
        assert ada.get(f"/notifications?{bad}").status_code == 400


def test_nobody_reads_anothers_inbox(
    stage: Stage, ada: Browser, browser: Browser, open_browser: Callable[[], Browser]
) -> None:
    stage.thread(stage.repo(), "grace", "Text")
    stage.deliver()
    with stage.rt.database.reading() as db:
        row = db.scalars(select(Notification)).one()
    grace = open_browser()
    grace.sign_in("grace")
    assert grace.get(f"/notifications/{row.id}").headers["location"] == "/notifications"
    grace.post("/notifications", "/notifications", id=str(row.id))
    assert 'data-unread="1"' in ada.get("/notifications").text
    assert browser.get("/notifications").headers["location"].startswith("/login")
    assert browser.get("/notifications/live").status_code == 204
    assert "data-live" not in browser.get("/login").text


def test_watching_from_a_page(stage: Stage, ada: Browser, people: dict[str, User]) -> None:
    repo_id = stage.repo()
    address = f"/-/watch/repo/{repo_id}"
    menu = ada.get(address, **{"hx-request": "true"}).text
    assert "<html" not in menu
    assert "Watching" in menu
    done = ada.post(address, address, level="muted", next="/ada/tiny-llm")
    assert (done.status_code, done.headers["location"]) == (303, "/ada/tiny-llm")
    assert "Muted" in ada.get("/settings/notifications").text
    assert ada.post(address, address, level="loud").status_code == 400
    for wrong in ("/-/watch/repo/999", "/-/watch/shoe/1", f"/-/watch/thread/{2**70}"):
        assert ada.get(wrong).status_code == 404
    hidden = stage.repo("hidden", owner="grace", visibility="private")
    assert ada.get(f"/-/watch/repo/{hidden}").status_code == 404


def test_an_opened_thread_is_read_and_a_hidden_one_does_not_count(stage: Stage, ada: Browser) -> None:
    repo_id = stage.repo()
    first, second = (stage.thread(repo_id, "grace", "Text") for _ in range(2))
    stage.deliver()
    assert 'data-unread="2"' in ada.get("/models").text
    assert 'data-unread="1"' in ada.get("/ada/tiny-llm/discussions/1").text
    with stage.rt.database.reading() as db:
        assert not service.has_unread(db, stage.actor("ada"), first)
    stage.write(lambda db: setattr(db.get_one(Thread, second), "hidden_at", clock.now()))
    assert 'data-unread="0"' in ada.get("/models").text
    assert ada.client.get("/api/users/grace/overview").json()["numDiscussions"] == 1


def test_many_people_are_told_at_once_and_their_unread_counted_at_once(stage: Stage) -> None:
    ids = [user.id for user in stage.users.values()]
    ada, grace, root = ids[:3]

    def tell(db: Session) -> list[int]:
        everybody = dict.fromkeys(ids, "watching")
        first = service.notify(db, everybody, service.News("comment", "k:1", "T", "/x", actor_id=ada))
        again = service.notify(db, {grace: "mention"}, service.News("comment", "k:1", "T", "/x"))
        only = service.notify(db, {ada: "mention", grace: "mention"}, service.News("comment", "k:2"))
        return [first, again, only]

    assert stage.write(tell) == [len(ids) - 1, 0, 2]
    with stage.rt.database.reading() as db:
        assert queries.count_unread_of(db, ids) == {key: queries.count_unread(db, key) for key in ids}
        assert queries.count_unread_of(db, ids)[grace] == 2
        assert queries.count_unread_of(db, [root]) == {root: 1}
        mails = db.scalars(
            select(OutboxEvent).where(OutboxEvent.topic == service.MAIL_TOPIC).order_by(OutboxEvent.id)
        ).all()
        # What is watched goes into a digest, the mentions at once.
        assert sorted(mail.payload["user_id"] for mail in mails) == sorted([ada, grace])
