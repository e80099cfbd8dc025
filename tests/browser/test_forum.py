"""Ask, answer, accept: with a poll, similar topics, a draft that waits, in both languages."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from kit.server import LiveServer
from llmos.features.discovery.posts import index_comment
from llmos.features.discussions.models import Comment, Thread
from llmos.infra.runtime import open_runtime
from llmos.infra.settings import Settings

from .conftest import Open
from .test_discussions import keep as keep_page
from .test_discussions import picture

pytestmark = pytest.mark.browser

TOPIC = re.compile(r"/forum/\d+/.")
WORDS = {
    "en": ("Quantised weights lose accuracy", "Accuracy of quantised weights?", "Measure it per layer."),
    "zh": ("量化后权重精度下降", "权重量化以后精度下降怎么办", "逐层测量误差。"),
}


def keep(page: Page, name: str, tag: str) -> None:
    keep_page(page, f"forum-{name}", tag)


def index_topic(site: LiveServer, url: str) -> None:
    """What the worker, which does not run here, does with a new topic."""
    extra = {"database_url": site.env["LLMOS_DATABASE_URL"]} if "LLMOS_DATABASE_URL" in site.env else {}
    rt = open_runtime(Settings(home=site.home, **extra))
    with rt.database.writing() as db:
        thread = db.get_one(Thread, int(url.split("/")[4]))
        index_comment(db, db.get_one(Comment, thread.first_comment_id), thread)
    rt.close()


@pytest.mark.parametrize(
    ("locale", "scheme", "width"),
    [("en-GB", "light", 1280), ("zh-CN", "dark", 390)],
    ids=["desk-en", "phone-zh"],
)
def test_ask_answer_accept(open_page: Open, site: LiveServer, locale: str, scheme: str, width: int) -> None:
    tag = f"{locale[:2]}-{width}"
    first_title, title, answer = WORDS[locale[:2]]
    options = {"locale": locale, "color_scheme": scheme, "width": width}
    ada = open_page("/forum/new", who="ada", **options)
    ada.fill("[name=title]", first_title)
    ada.fill("[name=text]", "int8")
    ada.select_option("[name=category]", "show")
    ada.click("main [data-submit-default]")
    ada.wait_for_url(TOPIC)
    index_topic(site, ada.url)

    # What was asked already shows while the title is typed; what is typed is kept.
    grace = open_page("/forum/new", who="grace", **options)
    similar = grace.locator("#similar a")
    grace.fill("[name=title]", title)
    expect(similar.first).to_contain_text(first_title)
    grace.select_option("[name=category]", "help")
    grace.fill("[name=tags]", "int8 gguf")
    with grace.expect_response("**/forum/drafts"):
        grace.fill("[name=text]", "| bits | score |\n|--:|--:|\n| 8 | 0.71 |\n| 4 | 0.55 |\n")
    grace.goto("/forum/new")
    expect(grace.locator("[name=title]")).to_have_value(title)
    grace.click(".poll-form summary")
    grace.fill("[name=poll_question]", "4 or 8?")
    grace.fill("[name=poll_options]", "4 bit\n8 bit\n")
    keep(grace, "new", tag)
    grace.click("main [data-submit-default]")
    grace.wait_for_url(TOPIC)
    topic = grace.url
    expect(grace.locator(".comment-body table")).to_contain_text("0.71")

    ada.goto(topic)
    ada.check(".poll input >> nth=1")
    ada.click(".poll [type=submit]")
    expect(ada.locator(".poll-option.is-mine")).to_have_count(1)
    ada.fill("#editor-text", answer)
    ada.click("#reply [data-submit-default]")
    expect(ada.locator(".comment-body").last).to_contain_text(answer)

    grace.goto(topic)
    grace.click(".post-accept button")
    expect(grace.locator(".comment.is-answer .comment-body")).to_contain_text(answer)
    keep(grace, "topic", tag)
    grace.click(".comment.is-answer .menu summary >> nth=0")
    grace.click(".comment.is-answer .menu-form button")
    grace.goto("/forum/bookmarks")
    expect(grace.locator(".kept-list")).to_contain_text(answer)
    picture(grace, "forum-bookmarks", tag)
    grace.goto("/forum?view=solved")
    expect(grace.locator(".topic-list")).to_contain_text(title)
    grace.goto("/forum")
    picture(grace, "forum-front", tag)
    grace.goto("/forum/trust")
    picture(grace, "forum-trust", tag)


def test_an_administrator_adds_a_category(open_page: Open) -> None:
    page = open_page("/-/admin/categories", who="root-admin", width=390)
    form = page.locator("form").filter(has=page.locator("[value=create]"))
    form.locator("[name=slug]").fill("hardware")
    form.locator("[name=name_en]").fill("Hardware")
    form.locator("[name=name_zh]").fill("硬件")
    form.locator("[value=create]").click()
    expect(page.locator("#category-hardware")).to_contain_text("Hardware")
    page.locator("#category-hardware [value=up]").click()
    expect(page.locator(".category-admin > li").last).not_to_contain_text("hardware")
    keep(page, "categories", "en-390")
