"""Threads and comments: who may, what is kept, what stays fast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import insert, select

from features.discussions.conftest import Place
from kit.statements import counted
from llmos.core import clock
from llmos.core.errors import BadRequest, Conflict, Forbidden, NotFound, Unauthenticated
from llmos.core.ids import new_object_id
from llmos.features.discussions import policy
from llmos.features.discussions.categories import access_category, list_categories
from llmos.features.discussions.comments import (
    add_comment,
    add_reaction,
    edit_comment,
    hide_comment,
    remove_reaction,
)
from llmos.features.discussions.models import Comment, Thread
from llmos.features.discussions.queries import (
    ThreadFilters,
    count_reactions,
    count_threads,
    list_participants,
    list_threads,
    list_topics,
    list_versions,
    read_timeline,
)
from llmos.features.discussions.reviews import set_rules
from llmos.features.discussions.texts import closing_numbers
from llmos.features.discussions.threads import (
    accept_answer,
    lock_thread,
    open_thread,
    open_topic,
    pin_thread,
    rename_thread,
    set_status,
)
from llmos.infra.queue.outbox import OutboxEvent


def opened(place: Place, title: str = "Hello", by: str = "grace") -> int:
    with place.rt.database.writing() as db:
        return open_thread(db, place.people[by], place.repo, title, "words").num


def topics(place: Place) -> list[str]:
    with place.rt.database.reading() as db:
        return list(db.scalars(select(OutboxEvent.topic).order_by(OutboxEvent.id)))


def test_a_locked_thread_listens_to_maintainers_only(place: Place) -> None:
    num = opened(place)
    with place.changing(num) as (db, ada, thread):
        lock_thread(db, ada, thread, True)
        assert lock_thread(db, ada, thread, True) is None
    for by, refusal in (("grace", Forbidden), ("anonymous", Unauthenticated)):
        with pytest.raises(refusal), place.changing(num, by) as (db, actor, thread):
            add_comment(db, actor, thread, "please")
    with pytest.raises(Forbidden), place.changing(num, "grace") as (db, grace, thread):
        rename_thread(db, grace, thread, "Mine")
    with place.changing(num) as (db, ada, thread):
        assert add_comment(db, ada, thread, "no").id
    with pytest.raises(Forbidden), place.changing(num, "grace") as (db, grace, thread):
        pin_thread(db, grace, thread, True)


def test_switched_off_and_blocked_places_refuse(place: Place, slot: Callable[[list[Any], Any], None]) -> None:
    num = opened(place)
    slot(policy.blocked, lambda db, actor, where: "You are blocked." if actor.name == "grace" else None)
    with pytest.raises(Forbidden, match="blocked"):
        opened(place)
    with pytest.raises(Forbidden, match="blocked"), place.changing(num, "grace") as (db, grace, thread):
        add_comment(db, grace, thread, "hi")
    with pytest.raises(Forbidden, match="blocked"):
        place.pull({"a.txt": b"1"})
    with place.changing(num) as (db, ada, _):
        set_rules(db, ada, place.repo, are_discussions_disabled=True)
    with pytest.raises(Forbidden, match="switched off"):
        opened(place, by="root-admin")
    with pytest.raises(Forbidden), place.changing(num, "grace") as (db, grace, _):
        set_rules(db, grace, place.repo, are_discussions_disabled=False)


def test_edits_keep_the_history_and_tell_who_was_slower(place: Place) -> None:
    num = opened(place)
    with place.changing(num, "grace") as (db, grace, thread):
        comment = add_comment(db, grace, thread, "first")
        edit_comment(db, grace, thread, comment, "second", if_version=1)
        with pytest.raises(Conflict) as caught:
            edit_comment(db, grace, thread, comment, "mine", if_version=1)
        assert caught.value.data == {"version": 2, "current": "second", "text": "mine"}
        edit_comment(db, grace, thread, comment, "second", if_version=2)
        edit_comment(db, grace, thread, comment, "third")
        versions = list_versions(db, [comment])[comment.id]
        assert [(version.version, version.text) for version in versions] == [(1, "first"), (2, "second")]
        assert (comment.version, comment.edit_count) == (3, 2)
    assert topics(place).count("CommentEdited") == 2


def test_status_changes_once_and_keeps_the_words(place: Place) -> None:
    num = opened(place)
    with place.changing(num, "grace") as (db, grace, thread):
        set_status(db, grace, thread, "closed", "Solved, thanks.")
        assert thread.comment_count == 2
        with pytest.raises(Conflict) as caught:
            set_status(db, grace, thread, "closed", "Me too")
        assert caught.value.data == {"status": "closed", "text": "Me too"}
        set_status(db, grace, thread, "open")
        assert thread.closed_at is None


def test_reactions_and_answers(place: Place) -> None:
    num = opened(place)
    with place.changing(num) as (db, ada, thread):
        reply = add_comment(db, ada, thread, "Do this.")
        assert add_reaction(db, place.grace, thread, reply, "👍")
        assert not add_reaction(db, place.grace, thread, reply, "👍")
        add_reaction(db, ada, thread, reply, "👍")
        with pytest.raises(BadRequest):
            add_reaction(db, ada, thread, reply, "💣")
        counts = count_reactions(db, place.grace, [reply])[reply.id]
        assert [(item.emoji, item.count, item.is_mine) for item in counts] == [("👍", 2, True)]
        remove_reaction(db, place.grace, reply, "👍")
        assert count_reactions(db, place.grace, [reply])[reply.id][0].count == 1
        first = db.get(Comment, thread.first_comment_id)
        with pytest.raises(BadRequest):
            accept_answer(db, place.grace, thread, first)
        accept_answer(db, place.grace, thread, reply)
        assert thread.answer_id == reply.id
        hide_comment(db, ada, thread, reply, "wrong")
        assert thread.answer_id is None
        with pytest.raises(BadRequest):
            accept_answer(db, ada, thread, reply)
    assert topics(place).count("ReactionAdded") == 2


def test_hidden_threads_are_not_there_for_others(place: Place) -> None:
    num = opened(place)
    with place.changing(num) as (db, _, thread):
        thread.hidden_at = clock.now()
    assert place.thread(num, by="grace").num == num
    with pytest.raises(NotFound):
        place.thread(num, by="anonymous")
    with place.rt.database.reading() as db:
        assert list_threads(db, place.anonymous, place.repo).items == []
        assert len(list_threads(db, place.ada, place.repo).items) == 1


def test_lists_go_on_where_they_stopped(place: Place) -> None:
    for number in range(7):
        opened(place, f"Thread {number}")
    with place.changing(2) as (db, ada, thread):
        pin_thread(db, ada, thread, True)
        set_status(db, ada, place.thread(7, db), "closed")
    with place.rt.database.reading() as db:
        seen: list[int] = []
        cursor = None
        while True:
            page = list_threads(db, place.ada, place.repo, cursor=cursor, limit=3)
            seen += [thread.num for thread in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert seen == [2, 7, 6, 5, 4, 3, 1]
        assert len(list_threads(db, place.ada, place.repo, ThreadFilters(status="open")).items) == 6
        found = list_threads(db, place.ada, place.repo, ThreadFilters(text="thread 3")).items
        assert [thread.title for thread in found] == ["Thread 3"]
        counts = count_threads(db, place.repo)
        assert (counts.open, counts.closed, counts.open_pulls) == (6, 1, 0)
        with pytest.raises(BadRequest):
            list_threads(db, place.ada, place.repo, cursor="forged")


def test_of_ten_thousand_comments_a_page_is_read(place: Place) -> None:
    num = opened(place)
    with place.changing(num) as (db, grace, thread):
        now = clock.now()
        shared = {"thread_id": thread.id, "author_id": grace.user_id, "created_at": now}
        rest = {"version": 1, "edit_count": 0, "hidden_reason": ""}
        rows = [{**shared, **rest, "public_id": new_object_id(), "text": f"c{n}"} for n in range(10_000)]
        db.execute(insert(Comment), rows)
    with place.rt.database.reading() as db:
        thread = place.thread(num, db)
        last = db.scalars(select(Comment.id).order_by(Comment.id.desc()).offset(20).limit(1)).one()
        with counted() as statements:
            first = read_timeline(db, thread)
            end = read_timeline(db, thread, after=last)
        assert (len(first.comments), len(end.comments), end.next_after) == (50, 20, None)
        # A page of comments is read, never all of them.
        assert len(statements) <= 12
        assert all("LIMIT" in text for text in statements if "FROM comments" in text)
        assert [user.name for user in list_participants(db, thread)] == ["grace", "ada"]


def test_topics_of_the_forum(place: Place) -> None:
    with place.rt.database.writing() as db:
        slugs = [category.slug for category in list_categories(db)]
        assert slugs == ["announcements", "help", "show", "papers", "languages", "off-topic"]
        help_ = access_category(db, "help")
        topic = open_topic(db, place.grace, help_, "How?", "I wonder.", ["LoRA", "微调"])
        assert topic.num == topic.id
        with pytest.raises(Forbidden):
            open_topic(db, place.grace, access_category(db, "announcements"), "News", "none")
        open_topic(db, place.people["root-admin"], access_category(db, "announcements"), "News", "some")
        with pytest.raises(BadRequest, match="tag"):
            open_topic(db, place.grace, help_, "How?", "I wonder.", ["a b"])
        reply = add_comment(db, place.ada, topic, "Like this.")
        accept_answer(db, place.grace, topic, reply)
        topic.is_wiki = True
        first = db.get(Comment, topic.first_comment_id)
        assert first is not None
        edit_comment(db, place.people["root-admin"], topic, first, "We wonder.")
        assert first.edited_by_id == place.people["root-admin"].user_id
        with pytest.raises(Forbidden):
            edit_comment(db, place.grace, topic, reply, "Unlike this.")
    with place.rt.database.reading() as db:
        assert [found.title for found in list_topics(db, place.anonymous).items] == ["How?", "News"]
        assert [found.title for found in list_topics(db, place.anonymous, tag="lora").items] == ["How?"]
        assert db.scalar(select(Thread.comment_count).where(Thread.title == "How?")) == 2


def test_closing_words() -> None:
    text = "Closes #12, fixes: #3 and resolved #3; see #4. enclose #5, fix #0, Fix\n#6"
    assert closing_numbers(text) == [12, 3, 6]
