"""Atom feeds: well-formed, conditional, nothing private."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from starlette.testclient import TestClient

from kit.browser import Browser

from .conftest import Stage

ATOM = "{http://www.w3.org/2005/Atom}"


def titles(client: TestClient, path: str) -> list[str]:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/atom+xml")
    root = ET.fromstring(answer.content)
    ids = [entry.findtext(f"{ATOM}id") for entry in root.iter(f"{ATOM}entry")]
    assert len(set(ids)) == len(ids)
    return [entry.findtext(f"{ATOM}title") or "" for entry in root.iter(f"{ATOM}entry")]


def test_feeds_show_what_everybody_may_see(stage: Stage, app_client: TestClient) -> None:
    repo_id = stage.repo()
    stage.thread(repo_id, "ada", 'A "text" & <more>\x0b', title="Loss < NaN & 你好")
    stage.thread(None, "ada", "Hello", title="A topic")
    hidden = stage.repo("hidden", visibility="private")
    stage.thread(hidden, "ada", "Secret", title="Secret plan")
    assert titles(app_client, "/-/feeds/site.atom") == ["A topic", "ada/tiny-llm"]
    person = titles(app_client, "/-/feeds/people/Ada/news.atom")
    assert set(person) == {"A topic", "ada/tiny-llm", "ada/tiny-llm: Loss < NaN & 你好"}
    repo = titles(app_client, "/-/feeds/model/ada/tiny-llm/news.atom")
    assert "ada/tiny-llm: Loss < NaN & 你好" in repo
    assert len(repo) == 2, "the thread and the first commit"


def test_a_feed_that_did_not_change_is_not_sent_again(stage: Stage, app_client: TestClient) -> None:
    stage.repo()
    first = app_client.get("/-/feeds/site.atom")
    etag = first.headers["etag"]
    assert (
        app_client.get("/-/feeds/site.atom", headers={"if-none-match": f'"x", W/{etag}'}).status_code == 304
    )
    stage.repo("other")
    assert app_client.get("/-/feeds/site.atom", headers={"if-none-match": etag}).status_code == 200


@pytest.mark.parametrize("path", ["model/ada/hidden", "model/ada/nothing", "dataset/ada/hidden"])
def test_private_feeds_are_not_there_even_for_their_owner(
    stage: Stage, ada: Browser, app_client: TestClient, path: str
) -> None:
    stage.repo("hidden", visibility="private")
    assert ada.get(f"/-/feeds/{path}/news.atom").status_code == 404
    assert app_client.get(f"/-/feeds/{path}/news.atom").status_code == 404
    assert app_client.get("/-/feeds/people/nobody/news.atom").status_code == 404


def test_the_forum_has_feeds_of_its_own(stage: Stage, app_client: TestClient) -> None:
    topic_id = stage.thread(None, "ada", "Hello", title="A topic")
    stage.thread(stage.repo(), "ada", "Not of the forum")
    stage.comment(topic_id, "grace", "An answer")
    assert titles(app_client, "/-/feeds/forum.atom") == ["A topic"]
    assert titles(app_client, "/-/feeds/forum/help.atom") == []
    assert titles(app_client, f"/-/feeds/topics/{topic_id}.atom") == ["A topic", "A topic"]
    for path in ("forum/nothing.atom", "topics/999999.atom", "topics/x.atom", f"topics/{topic_id + 1}.atom"):
        assert app_client.get(f"/-/feeds/{path}").status_code == 404
