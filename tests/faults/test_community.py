"""Threads under bad input and races: who was slower is told, and keeps the words they wrote."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from sqlalchemy import Engine, event, insert, select

from faults.conftest import World
from faults.live import Visitor
from faults.rawclient import Answer
from faults.test_races import at_once
from llmos.core import clock
from llmos.core.ids import new_object_id
from llmos.features.discussions.models import Comment, Thread

MIB = 1024 * 1024
LONG = 10_000
_numbers = itertools.count(1)


@pytest.fixture
def repo(ada: Visitor) -> str:
    """A repository with a file and an open pull request, number 1."""
    name = ada.create(f"talk-{next(_numbers)}")
    ada.commit(name, {"a.txt": "one\n"}).raise_for_status()
    propose(ada, name)
    return name


def propose(ada: Visitor, repo: str, branch: str = "main") -> None:
    header = {"key": "header", "value": {"summary": "Better", "description": ""}}
    file = {"key": "file", "value": {"path": "b.txt", "content": "two\n"}}
    body = "\n".join(httpx.Response(200, json=line).text for line in (header, file))
    ada.http.post(f"/api/models/{repo}/commit/{branch}?create_pr=1", content=body).raise_for_status()


def submit(ada: Visitor, path: str, **fields: str) -> httpx.Response:
    """A form of a page, as a script with a token sends it: without a form token, from our origin."""
    headers = {"origin": ada.server.url, "accept": "text/html"}
    return ada.http.post(path, data=fields, headers=headers, follow_redirects=False)


def details(ada: Visitor, repo: str, num: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = ada.http.get(f"/api/models/{repo}/discussions/{num}").raise_for_status().json()
    return found


def said(ada: Visitor, repo: str, num: int = 1) -> list[str]:
    return [
        item["data"]["latest"]["raw"]
        for item in details(ada, repo, num)["events"]
        if item["type"] == "comment"
    ]


def assert_one_won(answers: list[httpx.Response], words: list[str], winner: int) -> int:
    """One answer is `winner`, the other a 409 whose page holds what was typed; the winner's place."""
    assert sorted(answer.status_code for answer in answers) == [winner, 409], [a.text for a in answers]
    won = next(place for place, answer in enumerate(answers) if answer.status_code == winner)
    assert words[1 - won] in answers[1 - won].text, "the words are kept"
    return won


def test_of_two_who_merge_one_is_told(ada: Visitor, repo: str) -> None:
    words = ["Merged by the first.", "Merged by the second."]
    answers = at_once(
        *(lambda text=text: submit(ada, f"/{repo}/discussions/1/merge", text=text) for text in words)
    )
    won = assert_one_won(answers, words, 303)
    texts = said(ada, repo)
    assert words[won] in texts
    assert words[1 - won] not in texts
    assert details(ada, repo)["status"] == "merged"
    assert len(ada.http.get(f"/api/models/{repo}/commits/main").json()) == 3, "it was merged once"


def test_of_two_who_close_one_is_told(ada: Visitor, repo: str) -> None:
    words = ["Not needed any more.", "Done elsewhere."]
    url = f"/api/models/{repo}/discussions/1/status"
    answers = at_once(
        *(lambda text=text: ada.http.post(url, json={"status": "closed", "comment": text}) for text in words)
    )
    won = assert_one_won(answers, words, 200)
    assert answers[1 - won].json()["status"] == "closed"
    assert said(ada, repo)[1:] == [words[won]]
    late = submit(ada, f"/{repo}/discussions/1/comment", text="I close it, too.", then="close")
    assert late.status_code == 409
    assert "I close it, too." in late.text
    assert said(ada, repo)[1:] == [words[won]]


def test_of_two_who_edit_one_is_told(ada: Visitor, repo: str) -> None:
    url = f"/api/models/{repo}/discussions/1/comment"
    made = ada.http.post(url, json={"comment": "First words."}).json()["newMessage"]["id"]
    form = f"/{repo}/discussions/1/comments/{made}/edit"
    words = ["Words of one tab.", "Words of another tab."]
    answers = at_once(*(lambda text=text: submit(ada, form, text=text, version="1") for text in words))
    won = assert_one_won(answers, words, 303)
    assert said(ada, repo)[-1] == words[won]
    assert words[won] in answers[1 - won].text, "with the newer text to compare"


def test_a_branch_deleted_under_a_pull_request(ada: Visitor, repo: str) -> None:
    ada.http.post(f"/api/models/{repo}/branch/dev", json={}).raise_for_status()
    propose(ada, repo, "dev")
    ada.http.delete(f"/api/models/{repo}/branch/dev").raise_for_status()
    page = ada.http.get(f"/{repo}/discussions/2", headers={"accept": "text/html"})
    assert page.status_code == 200
    assert "deleted" in page.text
    assert ada.http.get(f"/{repo}/discussions/2/files", headers={"accept": "text/html"}).status_code == 200
    refused = submit(ada, f"/{repo}/discussions/2/merge", text="Merging this.")
    assert refused.status_code == 409
    assert "was deleted" in refused.text
    assert "Merging this." in refused.text
    assert submit(ada, f"/{repo}/discussions/2/comment", text="A pity.").status_code == 303
    closed = submit(ada, f"/{repo}/discussions/2/comment", text="", then="close")
    assert closed.status_code == 303
    assert details(ada, repo, 2)["status"] == "closed"


def test_a_comment_of_a_mebibyte_is_refused_with_its_size(ada: Visitor, repo: str) -> None:
    text = "x" * MIB
    url = f"/api/models/{repo}/discussions/1/comment"
    answer = ada.http.post(url, json={"comment": text})
    assert answer.status_code == 413
    assert f"{MIB} bytes" in answer.json()["error"]
    headers = {"origin": ada.server.url, "accept": "text/html"}
    page = f"/{repo}/discussions/1/comment"
    as_browsers_do = ada.http.post(page, files={"text": (None, text)}, headers=headers)
    assert as_browsers_do.status_code == 413
    assert f"{MIB} bytes" in as_browsers_do.text
    assert text in as_browsers_do.text, "what was typed is not lost"
    as_scripts_do = ada.http.post(page, data={"text": text}, headers=headers)
    assert as_scripts_do.status_code == 413
    assert "1024 KiB" in as_scripts_do.text
    assert len(said(ada, repo)) == 1


@contextmanager
def counted() -> Iterator[list[str]]:
    """The statements that reach the database meanwhile."""
    seen: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def write_long_thread(world: World) -> None:
    with world.rt.database.writing() as db:
        thread = db.scalars(select(Thread).where(Thread.title == "Loss is NaN", Thread.num == 1)).first()
        assert thread is not None
        start = clock.now()
        rows = [
            {
                "thread_id": thread.id,
                "author_id": thread.author_id,
                "text": f"Step **{number}**: `nan`, as in #1",
                "public_id": new_object_id(),
                "created_at": start + timedelta(seconds=number),
            }
            for number in range(LONG)
        ]
        db.execute(insert(Comment), rows)
        thread.comment_count += LONG


def test_a_thread_of_ten_thousand_comments_takes_no_more_queries(world: World) -> None:
    write_long_thread(world)

    def ask(path: str) -> tuple[Answer, int]:
        world.ask("GET", path, headers={"accept": "text/html"}, token=world.tokens["ada"])
        with counted() as statements:
            answer = world.ask("GET", path, headers={"accept": "text/html"}, token=world.tokens["ada"])
        return answer, len(statements)

    page, queries = ask("/ada/tiny-llm/discussions/1")
    assert page.status == 200
    assert len(page.body) < 600_000
    assert queries <= 14  # with the token's own
    whole, queries = ask("/api/models/ada/tiny-llm/discussions/1")
    assert len(whole.json()["events"]) == LONG + 2
    assert queries <= 12
    listed, queries = ask("/ada/tiny-llm/discussions")
    assert listed.status == 200
    assert queries <= 14


TRICKS = {
    "right to left": "adа\u202etxt.exe",
    "zero width": "a\u200bda",
    "cyrillic a": "\u0430da",
    "full width": "\uff41da",
    "combining": "a\u0308da",
    "dotless": "ad\u0131",
    "long s": "\u017fmall",
    "kelvin": "\u212aite",
    "soft hyphen": "a\u00adda",
    "isolate": "\u2066ada\u2069",
    "tag": "ada\U000e0061",
    "line": "ada\u2028x",
}


@pytest.mark.parametrize("name", TRICKS.values(), ids=TRICKS.keys())
def test_no_name_only_looks_like_another(world: World, name: str) -> None:
    """Names take plain letters only, wherever one is made; compared without case."""

    def post(path: str, body: dict[str, Any]) -> int:
        raw = httpx.Response(200, json=body).content
        return world.ask("POST", path, body=raw, token=world.tokens["ada"]).status

    def submit_form(path: str, **fields: str) -> int:
        kind: dict[str, str | bytes] = {
            "content-type": "application/x-www-form-urlencoded",
            "origin": "http://testserver",
            "accept": "text/html",
        }
        body = urlencode(fields).encode()
        return world.ask("POST", path, headers=kind, body=body, token=world.tokens["ada"]).status

    assert post("/api/repos/create", {"name": name}) == 400
    assert post("/api/repos/create", {"name": f"{name}/x", "organization": name}) in (400, 404)
    move = {"fromRepo": "ada/tiny-llm", "toRepo": f"ada/{name}", "type": "model"}
    assert post("/api/repos/move", move) == 400
    assert submit_form("/organizations/new", name=name, fullname="Ada") == 400
    assert submit_form("/join", name=name, email="x@example.org", password="correct horse") in (303, 400)
    assert world.ask("GET", f"/api/users/{name}/overview").status == 404


def test_titles_cannot_turn_what_stands_around_them(world: World) -> None:
    marks = "\u202e\u2066\u200f"
    shown = "safe\u202egpj.exe\u2066\u2028next\u200f"

    def post(path: str, body: dict[str, Any]) -> Answer:
        raw = httpx.Response(200, json=body).content
        return world.ask("POST", path, body=raw, token=world.tokens["ada"])

    num = post("/api/models/ada/tiny-llm/discussions", {"title": shown, "description": "d"}).json()["num"]
    title = world.ask("GET", f"/api/models/ada/tiny-llm/discussions/{num}").json()["title"]
    assert title == "safegpj.exe next"
    renamed = post(f"/api/models/ada/tiny-llm/discussions/{num}/title", {"title": shown + "!"})
    assert renamed.json()["newTitle"]["data"]["to"] == "safegpj.exe next!"
    made = post("/api/collections", {"title": shown, "namespace": "ada"})
    assert made.json()["title"] == "safegpj.exe next"
    for blank in ("\u200b", "\u2060\u00ad", "\u3164", marks):
        assert post("/api/collections", {"title": blank, "namespace": "ada"}).status == 400
        body = {"title": blank, "description": "d"}
        assert post("/api/models/ada/tiny-llm/discussions", body).status == 400
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467 می\u200cخواهم"
    kept = post("/api/models/ada/tiny-llm/discussions", {"title": family, "description": "d"}).json()["num"]
    found = world.ask("GET", f"/api/models/ada/tiny-llm/discussions/{kept}").json()["title"]
    assert found == family, "joiners that scripts need stay"
