"""Reports: private, weighed, and quick where trusted people agree."""

from __future__ import annotations

import pytest

from features.moderation.conftest import Forum
from llmos.core.errors import BadRequest, Conflict, Forbidden, NotFound, TooManyRequests
from llmos.features.moderation.cases import access_case, judge
from llmos.features.moderation.flags import file_flag
from llmos.features.moderation.models import Case, Standing


def flag(forum: Forum, by: str, key: str | int, reason: str = "spam") -> int:
    with forum.rt.database.writing() as db:
        return file_flag(db, forum.actor(db, by), forum.subject(db, key), reason).id


def is_hidden(forum: Forum, key: str | int) -> bool:
    with forum.rt.database.reading() as db:
        return forum.subject(db, key).is_hidden


def test_a_crowd_of_newcomers_hides_nothing_of_a_trusted_person(forum: Forum) -> None:
    topic = forum.topic("trusty")
    for number in range(20):
        forum.join(f"crowd{number}")
        flag(forum, f"crowd{number}", topic)
    assert not is_hidden(forum, topic)


def test_one_trusted_report_hides_spam_of_a_newcomer(forum: Forum) -> None:
    spam = forum.reply(forum.topic("trusty"), "newbie", "Buy followers")
    flag(forum, "trusty", spam)
    assert is_hidden(forum, spam)


def test_reports_that_were_wrong_weigh_less(forum: Forum) -> None:
    topics = [forum.topic("newbie", f"Question {number}") for number in range(3)]
    weights = []
    for topic in topics:
        case_id = flag(forum, "member1", topic, "off-topic")
        with forum.rt.database.writing() as db:
            case = judge(db, forum.actor(db, "mira"), case_id, "rejected")
            weights.append(case.score)
    assert weights == sorted(weights, reverse=True)
    assert weights[0] == 1.0
    assert weights[2] < weights[1]
    with forum.rt.database.reading() as db:
        row = db.get(Standing, forum.actor(db, "member1").user_id)
        assert row is not None
        assert row.rejected_flags == 3


def test_three_members_stop_a_spammer_until_somebody_looks(forum: Forum) -> None:
    topic = forum.topic("trusty")
    posts = [forum.reply(topic, "newbie", f"Cheap followers, offer {number}") for number in range(3)]
    for number, post in enumerate(posts, 1):
        flag(forum, f"member{number}", post)
    with pytest.raises(Forbidden, match="suspended"):
        forum.reply(topic, "newbie", "More")


def test_a_second_report_by_the_same_person_changes_nothing(forum: Forum) -> None:
    topic = forum.topic("newbie")
    assert flag(forum, "member1", topic) == flag(forum, "member1", topic, "other")
    with forum.rt.database.reading() as db:
        assert db.get_one(Case, 1).score == 1.0


def test_reports_are_private(forum: Forum) -> None:
    case_id = flag(forum, "member1", forum.topic("newbie"))
    for stranger in ("newbie", "member1", "member2", "trusty"):
        with forum.rt.database.reading() as db, pytest.raises(NotFound):
            access_case(db, forum.actor(db, stranger), case_id)
    with forum.rt.database.reading() as db:
        assert access_case(db, forum.actor(db, "mira"), case_id)[0].id == case_id


@pytest.mark.parametrize(("by", "reason", "error"), [
    ("member1", "because", BadRequest),
    ("newbie", "spam", Conflict),
])  # fmt: skip
def test_refusals(forum: Forum, by: str, reason: str, error: type[Exception]) -> None:
    topic = forum.topic("newbie")
    with pytest.raises(error):
        flag(forum, by, topic, reason)


def test_nobody_reports_without_end(forum: Forum) -> None:
    topics = [forum.topic("trusty", f"Topic {number}") for number in range(6)]
    for topic in topics[:5]:
        flag(forum, "newbie", topic)
    with pytest.raises(TooManyRequests):
        flag(forum, "newbie", topics[5])


def test_only_one_of_two_moderators_judges(forum: Forum) -> None:
    case_id = flag(forum, "member1", forum.topic("newbie"))
    with forum.rt.database.writing() as db:
        judge(db, forum.actor(db, "mira"), case_id, "upheld")
    with forum.rt.database.writing() as db, pytest.raises(Conflict, match="meanwhile"):
        judge(db, forum.actor(db, "nora"), case_id, "rejected")


def test_a_rejected_case_brings_back_what_reports_hid(forum: Forum) -> None:
    post = forum.reply(forum.topic("trusty"), "newbie", "Look at my repository")
    case_id = flag(forum, "trusty", post)
    assert is_hidden(forum, post)
    with forum.rt.database.writing() as db:
        judge(db, forum.actor(db, "mira"), case_id, "rejected", note="This is fine.")
    assert not is_hidden(forum, post)
