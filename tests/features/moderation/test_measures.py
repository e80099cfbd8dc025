"""What moderators do, its undoing, and the way back for those it was done to."""

from __future__ import annotations

from datetime import timedelta

import pytest

from features.moderation.conftest import Forum
from llmos.core import clock
from llmos.core.errors import BadRequest, Conflict, Forbidden, Unauthenticated
from llmos.features.accounts.actor import OPERATOR
from llmos.features.accounts.policy import access_user
from llmos.features.auth.credentials import actor_for_token
from llmos.features.auth.tokens import create_token
from llmos.features.discussions.categories import access_category
from llmos.features.discussions.models import Thread
from llmos.features.moderation import measures
from llmos.features.moderation.appeals import answer_appeal, file_appeal
from llmos.features.moderation.models import Measure
from llmos.features.moderation.sanctions import impose


def undo(forum: Forum, measure: Measure, by: str = "mira") -> None:
    with forum.rt.database.writing() as db:
        actor = forum.actor(db, by)
        measures.undo(db, actor, measures.access_measure(db, actor, measure.id))


def sanction(forum: Forum, kind: str, days: int | None = 3, by: str = "mira", who: str = "newbie") -> Measure:
    with forum.rt.database.writing() as db:
        return impose(db, forum.actor(db, by), access_user(db, OPERATOR, who), kind, "Insults", days=days)


def test_hide_and_undo(forum: Forum) -> None:
    post = forum.reply(forum.topic("trusty"), "newbie")
    with forum.rt.database.writing() as db:
        done = measures.hide(db, forum.actor(db, "mira"), forum.subject(db, post), "Rude")
    with forum.rt.database.reading() as db:
        assert forum.subject(db, post).is_hidden
    undo(forum, done)
    with forum.rt.database.reading() as db:
        assert not forum.subject(db, post).is_hidden
    with pytest.raises(Conflict, match="already"):
        undo(forum, done)


def test_locked_topics_take_no_replies_until_undone(forum: Forum) -> None:
    topic = forum.topic("newbie")
    with forum.rt.database.writing() as db:
        done = measures.lock(db, forum.actor(db, "mira"), forum.subject(db, topic), "Heated")
    with pytest.raises(Forbidden, match="locked"):
        forum.reply(topic, "member1")
    undo(forum, done)
    assert forum.reply(topic, "member1")


def test_move_and_undo(forum: Forum) -> None:
    topic = forum.topic("newbie")
    with forum.rt.database.writing() as db:
        category = access_category(db, "off-topic")
        done = measures.move(db, forum.actor(db, "mira"), forum.subject(db, topic), category)
        assert db.get_one(Thread, topic).category_id == category.id
    undo(forum, done)
    with forum.rt.database.reading() as db:
        assert db.get_one(Thread, topic).category_id == access_category(db, "help").id


def test_split_and_undo(forum: Forum) -> None:
    topic = forum.topic("newbie")
    forum.reply(topic, "member1", "Stays")
    away = forum.reply(topic, "member2", "Goes away")
    with forum.rt.database.writing() as db:
        ids = [forum.subject(db, away).id]
        done = measures.split(db, forum.actor(db, "mira"), forum.subject(db, topic), ids, "Another matter")
    new = done.data["new_id"]
    assert forum.texts(new) == ["Goes away"]
    assert forum.texts(topic) == ["How do I load it?", "Stays"]
    with forum.rt.database.reading() as db:
        assert (db.get_one(Thread, new).comment_count, db.get_one(Thread, topic).comment_count) == (1, 2)
    undo(forum, done)
    assert forum.texts(topic) == ["How do I load it?", "Stays", "Goes away"]


def test_a_split_others_wrote_in_stays(forum: Forum) -> None:
    topic = forum.topic("newbie")
    away = forum.reply(topic, "member2", "Goes away")
    with forum.rt.database.writing() as db:
        ids = [forum.subject(db, away).id]
        done = measures.split(db, forum.actor(db, "mira"), forum.subject(db, topic), ids, "Another matter")
    forum.reply(done.data["new_id"], "member1", "More of it")
    with pytest.raises(Conflict, match="written"):
        undo(forum, done)


def test_the_first_post_cannot_be_split_off(forum: Forum) -> None:
    topic = forum.topic("newbie")
    with forum.rt.database.writing() as db:
        first = db.get_one(Thread, topic).first_comment_id or 0
        mira, subject = forum.actor(db, "mira"), forum.subject(db, topic)
        with pytest.raises(BadRequest, match="first post"):
            measures.split(db, mira, subject, [first], "Another matter")


def test_merge_and_undo(forum: Forum) -> None:
    one, two = forum.topic("newbie", "One", "First"), forum.topic("member1", "Two", "Second")
    forum.reply(one, "member2", "Third")
    with forum.rt.database.writing() as db:
        done = measures.merge(db, forum.actor(db, "mira"), forum.subject(db, two), forum.subject(db, one))
    assert forum.texts(one) == ["First", "Second", "Third"]
    undo(forum, done)
    assert (forum.texts(one), forum.texts(two)) == (["First", "Third"], ["Second"])


def test_members_moderate_nothing(forum: Forum) -> None:
    topic = forum.topic("newbie")
    for name in ("newbie", "member1", "trusty"):
        with forum.rt.database.writing() as db, pytest.raises(Forbidden):
            measures.hide(db, forum.actor(db, name), forum.subject(db, topic), "Because")
        with pytest.raises(Forbidden):
            sanction(forum, "suspend", by=name, who="member2")


def test_a_suspended_person_reads_and_appeals(forum: Forum) -> None:
    topic = forum.topic("trusty")
    done = sanction(forum, "suspend")
    with pytest.raises(Forbidden, match="standing"):
        forum.reply(topic, "newbie")
    with forum.rt.database.writing() as db:
        actor = forum.actor(db, "newbie")
        assert actor.allows("repo.read", "newbie")
        assert not actor.allows("repo.write", "newbie")
        appeal = file_appeal(db, actor, done.id, "It was a quotation.")
    with forum.rt.database.writing() as db, pytest.raises(Forbidden, match="yourself"):
        answer_appeal(db, forum.actor(db, "mira"), appeal.id, "rejected", "No.")
    with forum.rt.database.writing() as db:
        answer_appeal(db, forum.actor(db, "nora"), appeal.id, "upheld", "You are right.")
    assert forum.reply(topic, "newbie")


def test_one_appeal_a_measure(forum: Forum) -> None:
    done = sanction(forum, "warn")
    with forum.rt.database.writing() as db:
        file_appeal(db, forum.actor(db, "newbie"), done.id, "Why?")
    with forum.rt.database.writing() as db, pytest.raises(Conflict):
        file_appeal(db, forum.actor(db, "newbie"), done.id, "Why, again?")


def test_sanctions_end(forum: Forum, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = forum.topic("trusty")
    sanction(forum, "suspend", days=3)
    later = clock.now() + timedelta(days=3, minutes=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert forum.reply(topic, "newbie")


def test_tokens_of_a_banned_person_are_refused(forum: Forum) -> None:
    with forum.rt.database.writing() as db:
        actor = forum.actor(db, "newbie")
        _row, secret = create_token(db, actor, access_user(db, OPERATOR, "newbie"), name="ci", role="write")
    with forum.rt.database.reading() as db:
        assert actor_for_token(db, secret).name == "newbie"
    done = sanction(forum, "ban", days=None)
    with forum.rt.database.reading() as db, pytest.raises(Unauthenticated):
        actor_for_token(db, secret)
    undo(forum, done)
    with forum.rt.database.reading() as db:
        assert actor_for_token(db, secret).name == "newbie"


def test_the_stricter_sanction_stays(forum: Forum) -> None:
    ban = sanction(forum, "ban", days=10)
    short = sanction(forum, "suspend", days=1)
    with forum.rt.database.reading() as db:
        assert access_user(db, OPERATOR, "newbie").sanction == "ban"
    undo(forum, ban)
    with forum.rt.database.reading() as db:
        assert access_user(db, OPERATOR, "newbie").sanction == "suspend"
    undo(forum, short)
    with forum.rt.database.reading() as db:
        assert access_user(db, OPERATOR, "newbie").sanction is None


def test_nobody_sanctions_upwards(forum: Forum) -> None:
    with pytest.raises(Forbidden, match="administrator"):
        sanction(forum, "ban", who="root-admin")
    with pytest.raises(Forbidden, match="moderator"):
        sanction(forum, "ban", who="nora")
    assert sanction(forum, "ban", who="nora", by="root-admin").id
