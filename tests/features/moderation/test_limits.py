"""Newcomers' limits, spam heuristics, block lists, and how trust is earned."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from features.moderation.conftest import Forum
from llmos.core import clock
from llmos.core.errors import Conflict, Forbidden
from llmos.features.accounts.actor import OPERATOR
from llmos.features.accounts.models import Namespace
from llmos.features.accounts.policy import access_user
from llmos.features.discussions import policy
from llmos.features.discussions.threads import open_thread
from llmos.features.moderation.blocks import block_user, unblock_user
from llmos.features.moderation.limits import make_screen
from llmos.features.moderation.models import Standing
from llmos.features.moderation.standing import level_of, recount_standings
from llmos.features.repos.lifecycle import create_repo

LINKS = "See https://a.example.org https://b.example.org and https://c.example.org"


@pytest.mark.parametrize(("text", "word"), [
    (LINKS, "links"),
    ("![a](x.png) ![b](y.png)", "picture"),
    ("@ada @grace @lin: look", "mention"),
])  # fmt: skip
def test_newcomers_have_limits_that_members_do_not(forum: Forum, text: str, word: str) -> None:
    topic = forum.topic("trusty")
    with pytest.raises(Forbidden, match=word):
        forum.reply(topic, "newbie", text)
    assert forum.reply(topic, "member1", text)


def test_what_stands_in_code_does_not_count(forum: Forum) -> None:
    assert forum.reply(forum.topic("trusty"), "newbie", f"```\n{LINKS}\n```")


def test_newcomers_open_few_threads_a_day(forum: Forum) -> None:
    for number in range(3):
        forum.topic("newbie", f"Question {number}")
    with pytest.raises(Forbidden, match="3 threads"):
        forum.topic("newbie", "One more")


def test_the_same_text_is_not_posted_everywhere(forum: Forum) -> None:
    text = "Our new model beats all others on every benchmark there is: come and see."
    topics = [forum.topic("trusty", f"Topic {number}") for number in range(3)]
    for topic in topics[:2]:
        forum.reply(topic, "member1", text)
    with pytest.raises(Forbidden, match="this very text"):
        forum.reply(topics[2], "member1", text)


def test_nobody_floods(forum: Forum) -> None:
    topic = forum.topic("trusty")
    for number in range(6):
        forum.reply(topic, "member1", f"Number {number}")
    with pytest.raises(Forbidden, match="very fast"):
        forum.reply(topic, "member1", "Number 6")


def test_hidden_hosts(forum: Forum) -> None:
    policy.screens[:] = [make_screen("bad.example, worse.example")]
    topic = forum.topic("trusty")
    for link in ("http://bad.example/x", "https://www.WORSE.example:443/", "https://me@bad.example"):
        with pytest.raises(Forbidden, match="not accepted"):
            forum.reply(topic, "trusty", link)
    assert forum.reply(topic, "trusty", "https://notbad.example")


def test_a_repository_blocks_people(forum: Forum) -> None:
    with forum.rt.database.writing() as db:
        ada = forum.actor(db, "trusty")
        repo = create_repo(db, ada, forum.rt, name="tiny-llm")
    with forum.rt.database.writing() as db:
        ada, newbie = forum.actor(db, "trusty"), access_user(db, OPERATOR, "newbie")
        block_user(db, ada, repo, newbie, reason="Spam", days=7)
        with pytest.raises(Forbidden, match="blocked you"):
            open_thread(db, forum.actor(db, "newbie"), repo, "Hello", "There")
        with pytest.raises(Conflict):
            block_user(db, ada, repo, access_user(db, OPERATOR, "trusty"))
        with pytest.raises(Forbidden):
            block_user(db, forum.actor(db, "member1"), repo, newbie)
        unblock_user(db, ada, repo, newbie)
        assert open_thread(db, forum.actor(db, "newbie"), repo, "Hello", "There").num == 1


def test_levels_are_earned_by_taking_part(forum: Forum) -> None:
    forum.join("grower")
    with forum.rt.database.writing() as db:
        grower = access_user(db, OPERATOR, "grower").id
        db.execute(update(Standing).where(Standing.user_id == grower).values(is_fixed=False))
        db.execute(
            update(Namespace).where(Namespace.id == grower).values(created_at=clock.now() - timedelta(days=2))
        )
    first, second = forum.topic("trusty", "One"), forum.topic("trusty", "Two")
    forum.reply(first, "grower", "Hello")
    forum.reply(second, "grower", "Here, too")
    recount_standings(forum.rt)
    with forum.rt.database.reading() as db:
        assert level_of(db, grower) == 0
    forum.reply(second, "grower", "Once more")
    recount_standings(forum.rt)
    with forum.rt.database.reading() as db:
        assert level_of(db, grower) == 1
