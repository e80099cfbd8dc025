"""Home, people, search and "which model", as pages."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest

from features.discovery.conftest import Town
from llmos.features.collections.service import create_collection
from llmos.features.discovery.activity import activity_year
from llmos.features.discovery.highlight import snippet
from llmos.features.discovery.models import ActivityDay
from llmos.features.discovery.posts import find_posts, reindex_posts
from llmos.features.discussions.models import Comment
from llmos.infra.queue.outbox import emit

GB = 1024**3
MAX_QUERIES = 12


def test_following_brings_news(town: Town) -> None:
    page = town.get("/", "grace").text
    assert "Active here" not in page, "nobody has published"
    open_repo, secret = town.repo("tiny"), town.repo("secret", visibility="private")
    town.tell()
    assert 'href="/ada"' in town.get("/", "grace").text, "an owner to follow"
    assert town.post("/-/follow", "grace", name="ada", action="follow").status_code == 303
    thread = town.thread("How large is it?", "I wonder.", repo_id=open_repo)
    town.thread("Hidden plans", "Do not tell.", repo_id=secret)
    town.tell()
    feed = town.get("/feed", "grace").text
    assert "ada/tiny" in feed
    assert "How large is it?" in feed
    assert f"/ada/tiny/discussions/{thread}" in feed
    assert "secret" not in feed
    assert "Hidden plans" not in feed
    assert "How large is it?" in town.get("/", "grace").text
    for who in ("ada", "root-admin"):
        town.post("/ada/tiny/like", who)
    town.tell()
    feed = town.get("/feed", "grace").text
    assert "likes" in feed, "what ada likes"
    assert "root-admin" not in feed, "what strangers like"
    town.edit(open_repo, visibility="private")
    assert "ada/tiny" not in town.get("/feed", "grace").text, "private since"
    assert town.get("/feed").headers["location"].startswith("/login")


def test_profile_shows_a_person(town: Town) -> None:
    repo = town.repo("tiny")
    town.thread("A word", "on this", repo_id=repo)
    town.post("/-/follow", "grace", name="ada", action="follow")
    town.tell()
    page = town.get("/ada", "grace").text
    assert "2 contributions in the last year" in page
    assert "1 follower" in page
    assert "A word" in town.get("/ada/-/threads").text
    assert 'href="/grace"' in town.get("/ada/-/followers").text
    assert 'href="/ada"' in town.get("/grace/-/following").text
    assert 'href="/ada"' in town.get("/lab/-/members").text
    town.post("/ada/tiny/like", "grace")
    assert "ada/tiny" in re.sub(r"<[^>]+>", "", town.get("/grace/-/likes").text)
    assert town.get("/ADA").headers["location"] == "/ada"
    assert town.get("/nobody-here").status_code == 404


def test_year_of_activity(town: Town) -> None:
    ada, today = town.id_of("ada"), date(2026, 11, 22)
    with town.rt.database.writing() as db:
        for ago, count in ((0, 4), (1, 1), (400, 9)):
            db.add(ActivityDay(user_id=ada, day=today - timedelta(days=ago), kind="post", count=count))
    with town.rt.database.reading() as db:
        year = activity_year(db, ada, today)
    days = [entry for week in year.weeks for entry in week if entry]
    assert (len(year.weeks), days[-1], days[-2][1], year.total) == (53, (today, 4), 1, 5)
    assert [year.level(count) for count in (0, 1, 4)] == [0, 1, 4]


def test_readme_of_an_organisation(town: Town) -> None:
    from sqlalchemy import update

    from llmos.features.repos.models import RepoFacts

    repo = town.repo("README", "lab", type="space")
    with town.rt.database.writing() as db:
        facts = db.get(RepoFacts, repo) or RepoFacts(repo_id=repo)
        db.add(facts)
        db.flush()
        db.execute(update(RepoFacts).where(RepoFacts.repo_id == repo).values(card_text="**We train small.**"))
    assert "<strong>We train small.</strong>" in town.get("/lab").text


def test_search_finds_threads_in_both_languages(town: Town) -> None:
    repo, secret = town.repo("tiny"), town.repo("vault", visibility="private")
    town.thread("Loss explodes", "After warm-up the gradient norm is <b>huge</b>.", repo_id=repo)
    town.thread("训练不收敛怎么办", "学习率太大时，梯度会爆炸。", "grace")
    hidden = town.thread("Gradient secrets", "classified gradient", repo_id=secret)
    town.tell()
    found = town.get("/search", q="gradient norm", tab="threads").text
    assert "<mark>gradient</mark> <mark>norm</mark>" in found
    assert "<b>huge" not in found
    assert "训练" in town.get("/search", q="梯度会爆炸", locale="zh").text
    assert "Gradient secrets" not in town.get("/search", "grace", q="classified").text
    assert "Gradient secrets" in town.get("/search", "ada", q="classified").text
    items = town.get("/search/suggest", q="训练").json()
    assert items[0]["kind"] == "thread"
    assert town.get("/search/suggest", "grace", q="Gradient sec").json() == []
    with town.rt.database.writing() as db:
        comment = db.query(Comment).filter_by(thread_id=hidden).one()
        comment.text = "now about tokenizers"
        payload = {"thread_id": hidden, "comment_id": comment.id, "actor_id": 1}
        emit(db, "CommentEdited", payload)
    town.tell()
    with town.rt.database.reading() as db:
        assert find_posts(db, town.actor("ada"), "classified") == []
        assert len(find_posts(db, town.actor("ada"), "tokenizers")) == 1
    with town.rt.database.writing() as db:
        assert reindex_posts(db) == 3


def test_search_has_tabs_and_a_guide(town: Town) -> None:
    town.repo("tiny")
    page = town.get("/search", q="tiny").text
    assert "/search?q=tiny&amp;tab=docs" in page
    assert "ada/tiny" in re.sub(r"<[^>]+>", "", page)
    assert "Guide" in town.get("/docs").text
    for name in ("accounts", "clients", "discovery"):
        assert town.get(f"/docs/{name}").status_code == 200
    assert "/docs/discovery" in town.get("/search", q="trending", tab="docs").text
    assert town.get("/docs/..%2f..%2fetc").status_code == 404
    assert town.get("/docs/discovery", locale="zh").text != town.get("/docs/discovery").text


def test_snippets_are_safe_and_near_the_word() -> None:
    text = "# Head\n" + "word " * 100 + "<script>alert(1)</script> needle & more " + "tail " * 100
    found = snippet(text, "NEEDLE")
    assert "<mark>needle</mark> &amp; more" in found
    assert "<script" not in found
    assert found.startswith("…")
    assert "<mark>大模型</mark>" in snippet("我们训练大模型。", "大模型")
    assert snippet("nothing", "") == "nothing"
    table = snippet("| step | loss |\n|--:|:--|\n| 1 | 2 |\n\n---\nuse --create-pr", "loss")
    assert table == "step <mark>loss</mark> 1 2 use --create-pr"


def test_which_model_fits(town: Town) -> None:
    size = {"pipeline_tag": "text-generation", "license": "mit"}
    town.repo("small", total_parameters=10**9, inference_bytes=2 * GB, **size)
    town.repo("middle", total_parameters=7 * 10**9, inference_bytes=16 * GB, **size)
    town.repo("giant", total_parameters=70 * 10**9, inference_bytes=160 * GB, **size)
    town.repo("riddle", **size)
    town.repo("vault", total_parameters=10**9, inference_bytes=GB, visibility="private", **size)
    page = re.sub(r"<[^>]+>|\s+", " ", town.get("/which-model", task="text-generation", memory="8").text)
    page = " ".join(page.split())
    assert "1 model fits ada / small" in page or "1 model fits ada/small" in page.replace(" / ", "/")
    assert "With weights in 4 bits" in page
    assert "middle" in page
    assert "1 more model matches but is too large" in page
    assert "Of 1 model nobody can tell" in page
    assert "vault" not in page
    assert "giant" not in page.split("4 bits")[0]
    none = town.get("/which-model", task="text-generation", memory="0.1").text
    assert "No model here fits" in none
    assert "ada/small" in none
    assert "matches task, language and licence" in town.get("/which-model", license="no-such").text
    for bad in ("much", "-1", "1e9", "nan"):
        assert town.get("/which-model", memory=bad).status_code == 400, bad


@pytest.mark.parametrize("who", [None, "ada"])
def test_pages_ask_little_of_the_database(town: Town, who: str | None) -> None:
    for number in range(4):
        town.repo(f"m{number}", pipeline_tag="text-generation", inference_bytes=GB)
        town.repo(f"d{number}", type="dataset")
    repo = town.repo("x", "lab")
    for number in range(4):
        town.thread(f"Words {number}", "about tiny models", repo_id=repo)
    with town.rt.database.writing() as db:
        create_collection(db, town.actor("ada"), "ada", "Mine")
    town.post("/-/follow", "ada", name="lab", action="follow")
    town.tell()
    paths = ["/", "/ada", "/lab", "/ada/-/threads", "/ada/-/likes", "/lab/-/members", "/collections", "/docs"]
    paths += ["/search?q=words", "/search/suggest?q=words", "/which-model?memory=8", "/models", "/datasets"]
    paths += ["/models?params=lt100m&memory=8&dataset=x&base_model=y&language=en", "/feed"]
    for path in paths:
        with town.counted() as statements:
            answer = town.get(path, who)
        assert answer.status_code in (200, 303), (path, answer.text[-600:])
        asked = [
            statement for statement in statements if statement.lstrip().upper()[:6] in ("SELECT", "WITH R")
        ]
        assert len(asked) <= MAX_QUERIES, (path, len(asked), asked)
