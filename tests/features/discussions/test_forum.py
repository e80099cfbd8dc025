"""The forum's pages: lists, topics, polls, bookmarks, drafts, trust, categories."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from sqlalchemy import insert, select

from features.conftest import join
from kit.browser import Browser
from kit.statements import counted
from llmos.features.accounts.actor import ANONYMOUS
from llmos.features.accounts.models import User
from llmos.features.discussions import forum_trust
from llmos.features.discussions.categories import ensure_categories
from llmos.features.discussions.forum_lists import TopicFilter, list_forum_topics, list_popular_tags
from llmos.features.discussions.forum_views import flush_views
from llmos.features.discussions.models import Comment, Thread
from llmos.infra.queue.outbox import deliver_due
from llmos.infra.runtime import Runtime

MAX_QUERIES = 12


@pytest.fixture(autouse=True)
def _categories(rt: Runtime) -> None:
    ensure_categories(rt)


@pytest.fixture
def people(rt: Runtime, password_hash: str) -> dict[str, User]:
    return join(rt, password_hash)


@pytest.fixture
def admin(people: dict[str, User], open_browser: Callable[[], Browser]) -> Browser:
    found = open_browser()
    assert found.sign_in("root-admin").status_code == 303
    return found


def ask(who: Browser, title: str = "Why does the loss explode?", **fields: object) -> str:
    """Open a topic; its address."""
    values = {"title": title, "text": "It grows after step 100.", "category": "help", **fields}
    answer = who.post("/forum/new", **values)
    assert answer.status_code == 303, answer.text[-2000:]
    return answer.headers["location"]


def reply(who: Browser, topic: str, text: str = "Lower the learning rate.", **fields: object) -> str:
    """Write a post; its id."""
    answer = who.post(f"{topic}/reply", text=text, **fields)
    assert answer.status_code == 303, answer.text[-2000:]
    return re.search(r"comment(?:-|s/)([0-9a-f]{24})", answer.headers["location"])[1]


def test_ask_answer_accept(ada: Browser, grace: Browser, browser: Browser) -> None:
    topic = ask(ada, tags="training, loss")
    assert re.fullmatch(r"/forum/\d+/why-does-the-loss-explode", topic)
    assert "Why does the loss explode?" in browser.get("/forum?view=unanswered").text
    reply(grace, topic, "Which rate do you use?")
    answer = reply(grace, topic)
    refused = grace.post(f"{topic}/comments/{answer}/answer", accept="1")
    assert refused.status_code == 403
    assert ada.post(f"{topic}/comments/{answer}/answer", accept="1").status_code == 303
    page = browser.get(topic).text
    assert page.index("Accepted answer") < page.index(f'id="comment-{answer}"')
    assert page.count("Lower the learning rate.") == 2
    assert "Why does the loss explode?" in browser.get("/forum?view=solved").text
    assert "Why does the loss explode?" not in browser.get("/forum?view=unanswered").text
    assert ada.post(f"{topic}/comments/{answer}/answer", accept="").status_code == 303
    assert "Accepted answer" not in browser.get(topic).text


def test_addresses_lead_to_the_topic(ada: Browser, grace: Browser, browser: Browser) -> None:
    topic = ask(ada, "显存不足怎么办?")
    number = topic.split("/")[2]
    for address in (f"/forum/{number}", f"/forum/{number}/old-words"):
        answer = browser.get(f"{address}?after=0")
        assert (answer.status_code, answer.headers["location"]) == (302, f"{topic}?after=0")
    post = reply(grace, topic)
    answer = browser.get(f"/forum/{number}/-/comments/{post}")
    assert answer.headers["location"] == f"{topic}#comment-{post}"
    for missing in ("/forum/99999", "/forum/99999999999999999999", "/forum/c/none", f"{topic}/comments/zz"):
        assert browser.get(missing).status_code == 404, missing


def test_lists_by_category_tag_and_person(ada: Browser, grace: Browser, browser: Browser) -> None:
    one = ask(ada, "First words", tags="Loss #gpu")
    ask(grace, "Other words", category="show")
    page = browser.get("/forum/c/help").text
    assert "First words" in page
    assert "Other words" not in page
    page = browser.get("/forum/t/loss").text
    assert "First words" in page
    assert "Other words" not in page
    assert "No topics yet" in browser.get("/forum/t/nothing").text
    assert "First words" not in grace.get("/forum?view=mine").text
    reply(grace, one)
    assert "First words" in grace.get("/forum?view=mine").text
    assert browser.get("/forum?view=mine").headers["location"].startswith("/login")
    assert browser.get("/forum?view=oldest").status_code == 400
    assert browser.get("/forum?cursor=x!").status_code == 400


def test_pinned_topics_are_shown_once(rt: Runtime, ada: Browser) -> None:
    topics = [int(ask(ada, f"Topic {number}").split("/")[2]) for number in range(5)]
    with rt.database.writing() as db:
        db.get_one(Thread, topics[1]).is_pinned = True
    with rt.database.reading() as db:
        first = list_forum_topics(db, ANONYMOUS, size=2)
        second = list_forum_topics(db, ANONYMOUS, cursor=first.next_cursor, size=2)
        assert [thread.id for thread in first.items] == [topics[1], topics[4], topics[3]]
        assert [thread.id for thread in second.items] == [topics[2], topics[0]]
        solved = list_forum_topics(db, ANONYMOUS, TopicFilter("unanswered"))
        assert [thread.id for thread in solved.items] == topics[::-1], "elsewhere in its turn"


def test_top_counts_reactions_and_replies(rt: Runtime, ada: Browser, grace: Browser) -> None:
    quiet, liked = ask(ada, "Quiet words"), ask(ada, "Liked words")
    reply(grace, quiet)
    with rt.database.reading() as db:
        first = db.get_one(Thread, int(liked.split("/")[2])).first_comment_id
        public_id = db.get_one(Comment, first).public_id
    assert grace.post(f"{liked}/comments/{public_id}/react", emoji="🎉").status_code == 303
    while deliver_due(rt.database):
        pass
    page = grace.get("/forum?view=top&period=week").text
    assert page.index("Liked words") < page.index("Quiet words")


def test_a_poll_takes_one_vote_of_each(rt: Runtime, ada: Browser, grace: Browser, browser: Browser) -> None:
    topic = ask(
        ada,
        poll_question="Which format?",
        poll_options="safetensors\nGGUF\n",
        poll_days="3",
        poll_hidden="on",
    )
    options = re.findall(r'name="option" value="(\d+)"', grace.get(topic).text)
    assert len(options) == 2
    assert "<meter" not in grace.get(topic).text
    assert grace.post(f"{topic}/poll", option=options[0]).status_code == 303
    assert grace.post(f"{topic}/poll", option=options[1]).status_code == 303
    page = grace.get(topic).text
    assert "1 person voted" in page
    assert 'value="100"' in page
    assert "<meter" not in browser.get(topic).text
    assert grace.post(f"{topic}/poll", option=options).status_code == 400
    assert grace.post(f"{topic}/poll", option="999999").status_code == 400
    assert grace.post(f"{topic}/poll", close="1").status_code == 400
    assert ada.post(f"{topic}/poll", close="1").status_code == 303
    assert grace.post(f"{topic}/poll", option=options[0]).status_code == 409
    assert "<meter" in browser.get(topic).text


@pytest.mark.parametrize(
    "poll",
    [
        {"poll_question": "Which?", "poll_options": "one"},
        {"poll_question": "", "poll_options": "one\ntwo"},
        {"poll_question": "Which?", "poll_options": "one\nOne"},
        {"poll_question": "Which?", "poll_options": "one\ntwo", "poll_days": "0"},
        {"poll_question": "Which?", "poll_options": "one\ntwo", "poll_days": "9" * 30},
    ],
)
def test_a_refused_form_comes_back_as_it_was(ada: Browser, rt: Runtime, poll: dict[str, str]) -> None:
    answer = ada.post("/forum/new", title="Kept title", text="Kept text", category="help", **poll)
    assert answer.status_code == 400
    assert "Kept title" in answer.text
    assert "Kept text" in answer.text
    with rt.database.reading() as db:
        assert db.scalar(select(Thread.id)) is None


def test_a_refused_reply_keeps_its_text(ada: Browser, grace: Browser, admin: Browser) -> None:
    topic = ask(ada)
    assert admin.post(f"{topic}/manage", action="lock").status_code == 303
    answer = grace.post(f"{topic}/reply", text="Words nobody should lose")
    assert answer.status_code == 403
    assert admin.post(f"{topic}/manage", action="unlock").status_code == 303
    empty = grace.post(f"{topic}/reply", text="   ")
    assert empty.status_code == 400
    assert "is empty" in empty.text
    assert grace.post(f"{topic}/manage", action="close").status_code == 403
    assert ada.post(f"{topic}/manage", action="jump").status_code == 400


def test_drafts_follow_their_author(ada: Browser, grace: Browser) -> None:
    topic = ask(grace)
    place = f"topic-{topic.split('/')[2]}"
    assert ada.post("/forum/drafts", place=place, text="half a thought").json()["saved_at"]
    assert ada.post("/forum/drafts", place="new", title="A title", text="b", tags="x").status_code == 200
    assert "half a thought" in ada.get(topic).text
    assert "half a thought" not in grace.get(topic).text
    assert "A title" in ada.get("/forum/new").text
    page = ada.get("/forum/drafts").text
    assert "half a thought" in page
    assert "A title" in page
    reply(ada, topic, "half a thought, finished")
    ask(ada)
    assert "No drafts" in ada.get("/forum/drafts").text
    assert ada.post("/forum/drafts", place="../x", text="b").status_code == 400


def test_bookmarks_are_for_one_person(ada: Browser, grace: Browser) -> None:
    topic = ask(ada)
    post = reply(grace, topic, "> quoted\n\nA hint worth keeping")
    assert ada.post(f"{topic}/bookmark", comment=post, keep="1").status_code == 303
    page = ada.get("/forum/bookmarks").text
    assert "A hint worth keeping" in page
    assert "quoted" not in page
    assert "No bookmarks yet" in grace.get("/forum/bookmarks").text
    assert ada.post(f"{topic}/bookmark", comment=post, keep="").status_code == 303
    assert "No bookmarks yet" in ada.get("/forum/bookmarks").text


def test_members_improve_a_wiki(rt: Runtime, ada: Browser, grace: Browser, people: dict[str, User]) -> None:
    topic = ask(ada, is_wiki="on")
    with rt.database.reading() as db:
        first = db.scalars(select(Comment.public_id)).one()
    levels = {people["grace"].id: 0}
    forum_trust.trust_levels[:] = [lambda _db, ids: {who: levels.get(who, 0) for who in ids}]
    edit = f"{topic}/comments/{first}/edit"
    assert grace.post(edit, text="Better words", version="1").status_code == 403
    levels[people["grace"].id] = 1
    assert grace.post(edit, text="Better words", version="1").status_code == 303
    assert "Better words" in ada.get(topic).text
    assert "It grows after step 100." in ada.get(f"{topic}/comments/{first}/history").text
    assert ada.post(f"{topic}/manage", action="unwiki").status_code == 303
    assert grace.post(edit, text="Worse words", version="2").status_code == 403


def test_title_category_and_tags_can_change(ada: Browser, grace: Browser, browser: Browser) -> None:
    topic = ask(ada, tags="old")
    changed = ada.post(f"{topic}/edit", title="New name", category="show", tags="new")
    assert changed.headers["location"].endswith("/new-name")
    page = browser.get(changed.headers["location"]).text
    assert "/forum/c/show" in page
    assert "/forum/t/new" in page
    assert "/forum/t/old" not in page
    assert grace.post(f"{topic}/edit", title="Mine", category="show", tags="").status_code == 403
    refused = ada.post(f"{topic}/edit", title="Kept name", category="announcements", tags="")
    assert refused.status_code == 403
    assert "Kept name" in refused.text


def test_similar_topics_share_words(rt: Runtime, ada: Browser) -> None:
    ask(ada, "Loss explodes while fine-tuning with LoRA")
    ask(ada, "显存不足时如何训练", category="show")
    ask(ada, "Coffee machines", category="off-topic")
    while deliver_due(rt.database):
        pass
    found = ada.get("/forum/similar?title=My LoRA loss explodes, what now").text
    assert "fine-tuning" in found
    assert "Coffee" not in found
    assert "显存不足时如何训练" in ada.get("/forum/similar?title=训练时显存不足").text
    assert ada.get("/forum/similar?title=how to do it").text.strip() == ""


def test_administrators_keep_the_categories(admin: Browser, ada: Browser, browser: Browser) -> None:
    where = "/-/admin/categories"
    assert ada.get(where).status_code == 403
    assert ada.post(where, action="create", slug="x", name_en="X", name_zh="X").status_code == 403
    made = admin.post(
        where, action="create", slug="evals", name_en="Evaluation", name_zh="评测", format="question"
    )
    assert made.status_code == 303
    assert "Evaluation" in browser.get("/forum").text
    assert "评测" in browser.get("/forum", **{"accept-language": "zh-CN"}).text
    twice = admin.post(where, action="create", slug="evals", name_en="Twice", name_zh="Twice")
    assert twice.status_code == 409
    assert "Twice" in twice.text
    assert admin.post(where, action="create", slug="../x", name_en="X", name_zh="X").status_code == 400
    admin.post(where, action="up", slug="evals")
    page = browser.get("/forum").text
    assert page.index("Evaluation") < page.index("Off topic")
    saved = {"slug": "evals", "name_en": "Evaluation", "name_zh": "评测", "is_archived": "on"}
    assert admin.post(where, action="save", **saved).status_code == 303
    assert "Evaluation" not in browser.get("/forum").text
    refused = ada.post("/forum/new", title="t", text="t", category="evals")
    assert refused.status_code == 403


def test_reading_is_counted_without_writing(rt: Runtime, ada: Browser, browser: Browser) -> None:
    topic = ask(ada)
    flush_views(rt)
    browser.get(topic)
    browser.get(topic)
    assert flush_views(rt) == 2
    assert "views" in browser.get(topic).text


def test_a_hidden_topic_is_gone_from_every_list(rt: Runtime, ada: Browser, browser: Browser) -> None:
    topic = ask(ada, "Hidden words", tags="t")
    with rt.database.writing() as db:
        thread = db.get_one(Thread, int(topic.split("/")[2]))
        thread.hidden_at = thread.created_at
    for path in (
        "/forum",
        "/forum/c/help",
        "/forum/t/t",
        "/forum?view=top",
        "/forum/similar?title=Hidden words",
    ):
        assert "Hidden words" not in browser.get(path).text
    with rt.database.reading() as db:
        assert list_popular_tags(db) == []
    assert browser.get(topic).status_code == 404


def test_pages_ask_little_of_the_database(
    rt: Runtime, ada: Browser, grace: Browser, browser: Browser
) -> None:
    topic = ask(ada, poll_question="Which?", poll_options="one\ntwo", tags="a b")
    first = reply(grace, topic, "Ask @ada or @grace")
    with rt.database.writing() as db:
        thread = db.get_one(Thread, int(topic.split("/")[2]))
        rows = [{"thread_id": thread.id, "author_id": thread.author_id, "text": f"{n}"} for n in range(60)]
        db.execute(insert(Comment), rows)
        thread.comment_count += 60
    reply(ada, topic, "The last word", reply_to=first)
    ada.post(f"{topic}/comments/{first}/answer", accept="1")
    while deliver_due(rt.database):
        pass
    paths = [topic, f"{topic}?after=30", "/forum", "/forum?view=top", "/forum?view=mine", "/forum/c/help"]
    paths += [
        "/forum/t/a",
        "/forum/bookmarks",
        "/forum/drafts",
        "/forum/new",
        "/forum/trust",
        f"{topic}/edit",
    ]
    paths += ["/forum/similar?title=loss explode learning rate schedule warmup"]
    for path in paths:
        for who in (ada, browser):
            with counted() as statements:
                answer = who.get(path)
            assert answer.status_code in (200, 303), (path, answer.text[-800:])
            assert len(statements) <= MAX_QUERIES, (
                path,
                [re.findall(r"FROM (\w+)", text) for text in statements],
            )


def test_feeds_of_the_forum(ada: Browser, grace: Browser, browser: Browser) -> None:
    topic = ask(ada, "Fed words")
    post = reply(grace, topic, "A fed answer")
    number = topic.split("/")[2]
    for path in ("/-/feeds/forum.atom", "/-/feeds/forum/help.atom"):
        assert "Fed words" in browser.get(path).text
    assert "Fed words" not in browser.get("/-/feeds/forum/show.atom").text
    feed = browser.get(f"/-/feeds/topics/{number}.atom").text
    assert f"/forum/{number}/-/comments/{post}" in feed
    assert browser.get("/-/feeds/forum/none.atom").status_code == 404
    assert browser.get("/-/feeds/topics/99999.atom").status_code == 404
